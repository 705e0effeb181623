package com.example.cloud;

import java.io.IOException;
import java.util.Map;
import java.util.UUID;

import com.example.accounts.Accounts;
import com.example.accounts.Broker;
import com.example.accounts.Refused;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.http.HttpMethod;
import org.springframework.http.ResponseEntity;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;

/** A cloud whose sessions are the access tokens of Spring Authorization Server. */
@SpringBootApplication
public class Application {
    public static void main(String[] args) {
        SpringApplication.run(Application.class, args);
    }

    @Bean
    Accounts accounts() throws IOException {
        return new Accounts(() -> UUID.randomUUID().toString());
    }

    @Bean
    Broker broker(Accounts accounts) {
        return new Broker(accounts);
    }

    /** The endpoints of OAuth, among them /oauth2/jwks. For the authorization code flow, add your login page. */
    @Bean
    @Order(1)
    SecurityFilterChain authorizationServer(HttpSecurity http) throws Exception {
        return http
                .oauth2AuthorizationServer(server -> http.securityMatcher(server.getEndpointsMatcher()))
                .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
                .build();
    }

    /** The calls of {@link Calls}. */
    @Bean
    @Order(2)
    SecurityFilterChain resourceServer(HttpSecurity http) throws Exception {
        return http
                .csrf(csrf -> csrf.disable()) // There are no cookies.
                .logout(logout -> logout.disable())
                .sessionManagement(sessions -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
                .authorizeHttpRequests(requests -> requests
                        .requestMatchers(HttpMethod.POST, "/register", "/login").permitAll()
                        .requestMatchers("/healthz", "/error").permitAll()
                        .anyRequest().authenticated())
                .oauth2ResourceServer(server -> server.jwt(jwt -> { }))
                .build();
    }

    @RestControllerAdvice
    static class Errors {
        @ExceptionHandler
        ResponseEntity<Map<String, String>> answer(Exception error) {
            Refused refused = error instanceof OAuth2AuthenticationException ? new Refused(401, "log in again") : Refused.from(error);
            return ResponseEntity.status(refused.status()).body(Map.of("error", refused.getMessage()));
        }
    }
}
