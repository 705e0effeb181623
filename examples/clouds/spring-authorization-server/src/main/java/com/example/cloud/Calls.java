package com.example.cloud;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.UUID;

import com.example.accounts.Accounts;
import com.example.accounts.Accounts.Account;
import com.example.accounts.Accounts.Credentials;
import com.example.accounts.Broker;
import org.springframework.http.HttpStatus;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.OAuth2AccessToken;
import org.springframework.security.oauth2.core.OAuth2AccessToken.TokenType;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.authorization.OAuth2Authorization;
import org.springframework.security.oauth2.server.authorization.OAuth2AuthorizationService;
import org.springframework.security.oauth2.server.authorization.OAuth2TokenType;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.context.AuthorizationServerContext;
import org.springframework.security.oauth2.server.authorization.settings.AuthorizationServerSettings;
import org.springframework.security.oauth2.server.authorization.token.DefaultOAuth2TokenContext;
import org.springframework.security.oauth2.server.authorization.token.JwtGenerator;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

/** The calls of the app. The broker only fetches /oauth2/jwks. */
@RestController
public class Calls {
    private final Accounts accounts;
    private final Broker broker;
    private final JwtGenerator generator;
    private final OAuth2AuthorizationService authorizations;
    private final RegisteredClient app;
    private final AuthorizationServerContext server;

    Calls(Accounts accounts, Broker broker, JwtGenerator generator, OAuth2AuthorizationService authorizations,
            RegisteredClientRepository clients, AuthorizationServerSettings settings) {
        this.accounts = accounts;
        this.broker = broker;
        this.generator = generator;
        this.authorizations = authorizations;
        app = clients.findByClientId("camera-app");
        server = new AuthorizationServerContext() {
            @Override
            public String getIssuer() {
                return settings.getIssuer();
            }

            @Override
            public AuthorizationServerSettings getAuthorizationServerSettings() {
                return settings;
            }
        };
    }

    @GetMapping("/healthz")
    void healthz() {
    }

    @PostMapping("/register")
    @ResponseStatus(HttpStatus.CREATED)
    void register(@RequestBody Credentials sent) throws IOException {
        accounts.register(sent);
    }

    /** Stands for the authorization code flow: the token has the same content. */
    @PostMapping("/login")
    Map<String, Object> login(@RequestBody Credentials sent) {
        Account account = accounts.login(sent);
        Authentication user = UsernamePasswordAuthenticationToken.authenticated(account.id(), null, List.of());
        Jwt jwt = generator.generate(DefaultOAuth2TokenContext.builder()
                .registeredClient(app).principal(user).authorizationServerContext(server)
                .authorizationGrantType(AuthorizationGrantType.AUTHORIZATION_CODE)
                .tokenType(OAuth2TokenType.ACCESS_TOKEN).build());
        OAuth2AccessToken token = new OAuth2AccessToken(
                TokenType.BEARER, jwt.getTokenValue(), jwt.getIssuedAt(), jwt.getExpiresAt());
        authorizations.save(OAuth2Authorization.withRegisteredClient(app).id(UUID.randomUUID().toString())
                .principalName(account.id()).authorizationGrantType(AuthorizationGrantType.AUTHORIZATION_CODE)
                .accessToken(token).build());
        return Map.of("access_token", jwt.getTokenValue(), "token_type", "Bearer",
                "expires_in", app.getTokenSettings().getAccessTokenTimeToLive().toSeconds());
    }

    @PostMapping("/logout")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void logout(@AuthenticationPrincipal Jwt session, @RequestParam String uniqueId) {
        authorizations.remove(authorizations.findByToken(session.getTokenValue(), OAuth2TokenType.ACCESS_TOKEN));
        broker.logout(session.getSubject(), uniqueId);
    }

    @DeleteMapping("/account")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void delete(@AuthenticationPrincipal Jwt session) throws IOException {
        accounts.delete(session.getSubject());
        broker.eraseDeleted();
    }
}
