package io.sdktokenbroker.spring;

import java.time.Instant;
import java.util.List;

/**
 * An account, as the broker knows it.
 *
 * @param accessId the name of the account at the vendor
 * @param region the country (ISO 3166-1 alpha-2) in which the vendor stores its data
 * @param terminals the phones that have a valid token
 */
public record Account(String accessId, String region, List<Terminal> terminals) {
    /** A phone. */
    public record Terminal(String app, String uniqueId, Instant issuedAt, Instant expiresAt) {
    }
}
