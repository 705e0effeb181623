package com.example.cloud;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.text.ParseException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpMethod;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtClaimsSet;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtEncoderParameters;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.JwsHeader;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.jwt.NimbusJwtEncoder;
import org.springframework.security.web.SecurityFilterChain;

/** Sessions as signed JWTs. The key is in a file, so sessions survive a restart, and several processes can share it. */
@Configuration
public class Sessions {
    static final Duration LIFETIME = Duration.ofHours(1);

    private final Settings settings;
    private final ECKey key;
    private final NimbusJwtEncoder encoder;

    Sessions(Settings settings) throws Exception {
        this.settings = settings;
        Files.createDirectories(settings.dataDir());
        key = readOrCreate(settings.dataDir().resolve("session-key.json"));
        encoder = new NimbusJwtEncoder(new ImmutableJWKSet<>(new JWKSet(key)));
    }

    // docs: sessions
    /** The public key, for SESSION_JWT_JWKS_URL of the broker. */
    JWKSet publicKeys() {
        return new JWKSet(key.toPublicJWK());
    }

    /** Issues a session. Its time of issue lets the broker refuse the sessions of a deleted account. */
    String issue(Account account) {
        Instant now = Instant.now();
        JwtClaimsSet claims = JwtClaimsSet.builder()
                .issuer(settings.issuer())
                .audience(List.of(settings.audience()))
                .subject(account.unionId())
                .claim("region", account.country())
                .issuedAt(now)
                .expiresAt(now.plus(LIFETIME))
                .build();
        JwsHeader header = JwsHeader.with(SignatureAlgorithm.ES256).keyId(key.getKeyID()).build();
        return encoder.encode(JwtEncoderParameters.from(header, claims)).getTokenValue();
    }
    // docs end

    /** A session is valid as long as its account exists. */
    @Bean
    JwtDecoder sessionDecoder(Accounts accounts) throws JOSEException {
        NimbusJwtDecoder decoder = NimbusJwtDecoder.withJwkSource(new ImmutableJWKSet<>(publicKeys()))
                .jwsAlgorithm(SignatureAlgorithm.ES256).build();
        OAuth2TokenValidator<Jwt> accountExists = session -> accounts.byUnionId(session.getSubject()).isPresent()
                ? OAuth2TokenValidatorResult.success()
                : OAuth2TokenValidatorResult.failure(new OAuth2Error("invalid_token"));
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
                JwtValidators.createDefaultWithIssuer(settings.issuer()),
                new JwtAudienceValidator(settings.audience()), accountExists));
        return decoder;
    }

    @Bean
    SecurityFilterChain onlyUsers(HttpSecurity http) throws Exception {
        return http
                .csrf(csrf -> csrf.disable()) // There are no cookies.
                .sessionManagement(sessions -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
                .authorizeHttpRequests(requests -> requests
                        .requestMatchers(HttpMethod.POST, "/register", "/login").permitAll()
                        .requestMatchers(HttpMethod.GET, "/.well-known/jwks.json").permitAll()
                        .requestMatchers("/error").permitAll()
                        .anyRequest().authenticated())
                .oauth2ResourceServer(server -> server.jwt(jwt -> { }))
                .build();
    }

    private static ECKey readOrCreate(Path file) throws Exception {
        ECKey created = new ECKeyGenerator(Curve.P_256).keyUse(KeyUse.SIGNATURE).keyIDFromThumbprint(true).generate();
        try {
            Files.createFile(file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
            Files.writeString(file, created.toJSONString());
        } catch (FileAlreadyExistsException exists) {
            // The key of an earlier start.
        }
        String content = Files.readString(file);
        try {
            return JWK.parse(content).toECKey();
        } catch (ParseException | ClassCastException wrong) {
            // An earlier start may have ended before it wrote the key.
            throw new IllegalStateException("The key file " + file.toAbsolutePath()
                    + (content.isBlank() ? " is empty" : " does not hold an EC key as a JWK")
                    + ". Restore it from a backup. If there is none, delete it: this ends all sessions", wrong);
        }
    }
}
