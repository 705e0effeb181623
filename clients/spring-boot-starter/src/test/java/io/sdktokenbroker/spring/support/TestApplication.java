package io.sdktokenbroker.spring.support;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.context.ConfigurableApplicationContext;

/** Starts applications that have the starter. */
public final class TestApplication {
    private TestApplication() {
    }

    /** Settings of the starter, with short times, and a database in a file that survives a restart. */
    public static String[] settings(String brokerUrl, Path folder, String... more) {
        List<String> settings = new ArrayList<>(List.of(
                "sdk-token-broker.url=" + brokerUrl,
                "sdk-token-broker.key=" + LocalBroker.KEY,
                "sdk-token-broker.app=ios",
                "sdk-token-broker.outbox.poll-interval=100ms",
                // As with Hibernate: a change is lost if nothing commits it.
                "spring.datasource.hikari.auto-commit=false",
                "spring.datasource.url=jdbc:h2:file:" + folder.resolve("database"),
                "spring.main.banner-mode=off",
                "server.port=0"));
        settings.addAll(List.of(more));
        // Spring would make a list of two values of one setting. Here the last one replaces the others.
        Map<String, String> byName = new LinkedHashMap<>();
        settings.forEach(setting -> byName.put(setting.split("=", 2)[0], setting));
        return byName.values().toArray(String[]::new);
    }

    public static ConfigurableApplicationContext start(Class<?> application, String... settings) {
        return run(new SpringApplication(application), settings);
    }

    /** An application without a web server. */
    public static ConfigurableApplicationContext startWithoutWeb(Class<?> application, String... settings) {
        SpringApplication created = new SpringApplication(application);
        created.setWebApplicationType(WebApplicationType.NONE);
        return run(created, settings);
    }

    private static ConfigurableApplicationContext run(SpringApplication application, String... settings) {
        application.setRegisterShutdownHook(false);
        return application.run(List.of(settings).stream().map(setting -> "--" + setting).toArray(String[]::new));
    }
}
