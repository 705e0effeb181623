package io.sdktokenbroker.spring;

import java.util.Map;

/**
 * The token of one phone. Give both parts to the app unchanged.
 *
 * @param values what the SDK gets, for example {@code accessToken}. All values are text
 * @param etag names this token. With it, the app reports to the broker that the SDK refused the token
 */
public record SdkToken(Map<String, String> values, String etag) {
    /** Does not contain the token, because frameworks log the objects of an answer. */
    @Override
    public String toString() {
        return "SdkToken[expireTime=" + values.get("expireTime") + "]";
    }
}
