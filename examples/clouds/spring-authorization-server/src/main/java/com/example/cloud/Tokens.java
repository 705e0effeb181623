package com.example.cloud;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.ParseException;
import java.time.Duration;
import java.util.List;

import com.example.accounts.Accounts;
import com.example.accounts.Accounts.Account;
import com.example.accounts.PrivateFile;
import com.example.accounts.Refused;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.SecurityContext;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.OAuth2ErrorCodes;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.jwt.NimbusJwtEncoder;
import org.springframework.security.oauth2.server.authorization.InMemoryOAuth2AuthorizationService;
import org.springframework.security.oauth2.server.authorization.OAuth2AuthorizationService;
import org.springframework.security.oauth2.server.authorization.OAuth2TokenType;
import org.springframework.security.oauth2.server.authorization.client.InMemoryRegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.settings.AuthorizationServerSettings;
import org.springframework.security.oauth2.server.authorization.settings.ClientSettings;
import org.springframework.security.oauth2.server.authorization.settings.TokenSettings;
import org.springframework.security.oauth2.server.authorization.token.JwtGenerator;

/** What the access tokens contain, and which are valid. */
@Configuration
public class Tokens {
    private static final String AUDIENCE = "sdk-token-broker";

    @Bean
    AuthorizationServerSettings settings(@Value("http://127.0.0.1:${server.port}") String issuer) {
        return AuthorizationServerSettings.builder().issuer(issuer).build();
    }

    /** The broker accepts a JWT until it expires, also after a logout. So it lives for minutes. */
    @Bean
    RegisteredClientRepository clients() {
        return new InMemoryRegisteredClientRepository(RegisteredClient.withId("camera-app").clientId("camera-app")
                .clientAuthenticationMethod(ClientAuthenticationMethod.NONE)
                .authorizationGrantType(AuthorizationGrantType.AUTHORIZATION_CODE)
                .redirectUri("com.example.camera:/signed-in")
                .clientSettings(ClientSettings.builder().requireProofKey(true).build())
                .tokenSettings(TokenSettings.builder().accessTokenTimeToLive(Duration.ofMinutes(10)).build())
                .build());
    }

    /** Tokens in memory. Use JdbcOAuth2AuthorizationService in its place. */
    @Bean
    OAuth2AuthorizationService authorizations() {
        return new InMemoryOAuth2AuthorizationService();
    }

    /** Makes the tokens of every grant. JwtGenerator sets sub, iss, iat and exp, and nbf to the same time as iat. */
    @Bean
    JwtGenerator generator(JWKSource<SecurityContext> keys, Accounts accounts) {
        JwtGenerator generator = new JwtGenerator(new NimbusJwtEncoder(keys));
        generator.setJwtCustomizer(token -> {
            // The account may have been deleted since the login began. Here iat is set, so a later deletion has a later time.
            Account account = existing(accounts, token.getPrincipal().getName());
            token.getClaims().audience(List.of(AUDIENCE)).claim("region", account.country());
        });
        return generator;
    }

    private static Account existing(Accounts accounts, String id) {
        try {
            return accounts.get(id);
        } catch (Refused deleted) {
            throw new OAuth2AuthenticationException(OAuth2ErrorCodes.INVALID_GRANT);
        }
    }

    /** At this cloud, a token is valid as long as its account exists, and until its logout. */
    @Bean
    JwtDecoder decoder(JWKSource<SecurityContext> keys, AuthorizationServerSettings settings, Accounts accounts,
            OAuth2AuthorizationService authorizations) {
        NimbusJwtDecoder decoder = NimbusJwtDecoder.withJwkSource(keys).build();
        OAuth2TokenValidator<Jwt> notRevoked = token -> {
            boolean isKnown = authorizations.findByToken(token.getTokenValue(), OAuth2TokenType.ACCESS_TOKEN) != null;
            return isKnown && accounts.exists(token.getSubject())
                    ? OAuth2TokenValidatorResult.success()
                    : OAuth2TokenValidatorResult.failure(new OAuth2Error(OAuth2ErrorCodes.INVALID_TOKEN));
        };
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
                JwtValidators.createDefaultWithIssuer(settings.getIssuer()), new JwtAudienceValidator(AUDIENCE), notRevoked));
        return decoder;
    }

    /** The key is in a file, so that tokens survive a restart. Several processes need the same file. */
    @Bean
    JWKSource<SecurityContext> keys() throws IOException, JOSEException {
        Path file = PrivateFile.inDataDir("token-key.json");
        if (!Files.exists(file)) {
            RSAKey created = new RSAKeyGenerator(2048).keyUse(KeyUse.SIGNATURE).keyIDFromThumbprint(true).generate();
            PrivateFile.write(file, created.toJSONString());
        }
        try {
            return new ImmutableJWKSet<>(new JWKSet(RSAKey.parse(PrivateFile.read(file))));
        } catch (ParseException malformed) {
            throw new IOException(file + " holds no key. Restore it, or delete it to get a new key, which ends all sessions");
        }
    }
}
