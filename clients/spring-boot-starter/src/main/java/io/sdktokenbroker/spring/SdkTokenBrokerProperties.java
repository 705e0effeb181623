package io.sdktokenbroker.spring;

import java.net.URI;
import java.net.URISyntaxException;
import java.time.Duration;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * The settings.
 *
 * @param url Address of the broker's internal API, for example http://broker.internal:9090.
 * @param key Token of the internal API: ADMIN_TOKEN of the broker, or one of its ADMIN_TOKENS. Keep it secret.
 * @param timeout How long a call may take, with its retries.
 * @param app Name of the app in VENDOR_APPS of the broker. Leave it out if there is only one.
 * @param outbox Where erasures wait until the broker has confirmed them.
 */
@ConfigurationProperties("sdk-token-broker")
public record SdkTokenBrokerProperties(
        String url,
        String key,
        @DefaultValue("10s") Duration timeout,
        String app,
        @DefaultValue Outbox outbox) {

    /**
     * The outbox.
     *
     * @param table Name of its table, which may have the name of a schema before it.
     * @param createTable Whether to create the table at the start if it does not exist.
     * @param pollInterval Time between two looks into the outbox.
     */
    public record Outbox(
            @DefaultValue("sdk_token_broker_erasure") String table,
            @DefaultValue("true") boolean createTable,
            @DefaultValue("2s") Duration pollInterval) {
    }

    /** The broker refuses shorter tokens at its start. */
    private static final int MIN_KEY_LENGTH = 16;
    /** The broker allows no other names of apps. */
    private static final String APP_NAME = "[A-Za-z0-9._-]{1,64}";

    /** Without a slash at its end. */
    String checkedUrl() {
        try {
            URI parsed = new URI(url == null ? "" : url.strip());
            boolean isHttp = "http".equals(parsed.getScheme()) || "https".equals(parsed.getScheme());
            boolean hasMore = parsed.getRawUserInfo() != null || parsed.getRawQuery() != null
                    || parsed.getRawFragment() != null;
            if (isHttp && parsed.getHost() != null && !hasMore) {
                return parsed.toString().replaceAll("/+$", "");
            }
        } catch (URISyntaxException error) {
            // The same mistake as below.
        }
        throw new SettingsException("sdk-token-broker.url is missing, or is not an address with http:// or https://, "
                + "or has a user, a query or a fragment.",
                "Set it to the internal API of the broker, for example http://broker.internal:9090.");
    }

    /** Without white space around it, such as the line end of a file. */
    String checkedKey() {
        String stripped = key == null ? "" : key.strip();
        if (stripped.contains("${")) {
            throw new SettingsException("sdk-token-broker.key contains ${, so Spring has found no value for it.",
                    "Set the environment variable or the property that it names.");
        }
        if (stripped.length() < MIN_KEY_LENGTH || !stripped.matches("[\\x21-\\x7e]+")) {
            throw new SettingsException("sdk-token-broker.key is missing, has less than " + MIN_KEY_LENGTH
                    + " characters, or has characters that are not visible ASCII.",
                    "Set it to ADMIN_TOKEN of the broker, or to one of its ADMIN_TOKENS.");
        }
        return stripped;
    }

    Duration checkedTimeout() {
        return atLeastOneMs("sdk-token-broker.timeout", timeout);
    }

    Duration checkedPollInterval() {
        return atLeastOneMs("sdk-token-broker.outbox.poll-interval", outbox.pollInterval());
    }

    private static Duration atLeastOneMs(String name, Duration value) {
        if (value.toMillis() < 1) {
            throw new SettingsException(name + " is less than 1 ms.", "Set it to a time with its unit, such as 10s.");
        }
        return value;
    }

    /** Null: the broker has only one app. */
    String checkedApp() {
        if (app != null && !app.matches(APP_NAME)) {
            throw new SettingsException("sdk-token-broker.app is empty, has more than 64 characters, or has others "
                    + "than letters, digits, dots, hyphens and underscores.",
                    "Set it to a name in VENDOR_APPS of the broker, or leave it out if there is only one app.");
        }
        return app;
    }

    /** Does not contain the key. */
    @Override
    public String toString() {
        return "SdkTokenBrokerProperties[url=" + url + ", timeout=" + timeout + ", app=" + app + ", " + outbox + "]";
    }
}
