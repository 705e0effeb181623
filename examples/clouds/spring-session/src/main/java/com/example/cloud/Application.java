package com.example.cloud;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.UUID;

import javax.sql.DataSource;

import com.example.accounts.Accounts;
import com.example.accounts.Broker;
import com.example.accounts.PrivateFile;
import com.example.accounts.Refused;
import org.h2.jdbcx.JdbcConnectionPool;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.io.ClassPathResource;
import org.springframework.core.io.Resource;
import org.springframework.http.HttpMethod;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.jdbc.datasource.init.DatabasePopulatorUtils;
import org.springframework.jdbc.datasource.init.ResourceDatabasePopulator;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.core.userdetails.UsernameNotFoundException;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.authentication.HttpStatusEntryPoint;
import org.springframework.session.jdbc.config.annotation.web.http.EnableJdbcHttpSession;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;

/** A cloud with Spring Security, whose sessions Spring Session keeps under the cookie SESSION. */
@SpringBootApplication
@EnableJdbcHttpSession(maxInactiveIntervalInSeconds = 30 * 86_400)
public class Application {
    private static final Resource SESSION_TABLES = new ClassPathResource("org/springframework/session/jdbc/schema-h2.sql");

    public static void main(String[] args) {
        SpringApplication.run(Application.class, args);
    }

    /** The database of the sessions. Use your own in its place, or spring-session-data-redis. */
    @Bean
    DataSource sessionDatabase() throws IOException {
        Path file = PrivateFile.inDataDir("sessions.mv.db").toAbsolutePath();
        boolean isNew = PrivateFile.createIfMissing(file);
        DataSource database = JdbcConnectionPool.create("jdbc:h2:file:" + file.resolveSibling("sessions"), "", "");
        if (isNew) {
            DatabasePopulatorUtils.execute(new ResourceDatabasePopulator(SESSION_TABLES), database);
        }
        return database;
    }

    @Bean
    Accounts accounts() throws IOException {
        return new Accounts(() -> UUID.randomUUID().toString());
    }

    @Bean
    Broker broker(Accounts accounts) {
        return new Broker(accounts);
    }

    @Bean
    SecurityFilterChain security(HttpSecurity http) throws Exception {
        return http
                // Spring Session sets the cookie with SameSite=Lax. Keep the CSRF protection if browsers use this cloud.
                .csrf(csrf -> csrf.disable())
                .logout(logout -> logout.disable())
                .authorizeHttpRequests(requests -> requests
                        .requestMatchers(HttpMethod.POST, "/register", "/login").permitAll()
                        .requestMatchers("/healthz", "/error").permitAll()
                        .anyRequest().authenticated())
                // A redirect to a login page would tell the broker nothing.
                .exceptionHandling(errors -> errors
                        .authenticationEntryPoint(new HttpStatusEntryPoint(HttpStatus.UNAUTHORIZED)))
                .build();
    }

    /** Users log in through {@link Sessions}. This bean replaces Spring Boot's own user. */
    @Bean
    UserDetailsService nobody() {
        return name -> {
            throw new UsernameNotFoundException("log in at /login");
        };
    }

    @RestControllerAdvice
    static class Errors {
        @ExceptionHandler
        ResponseEntity<Map<String, String>> answer(Exception error) {
            Refused refused = Refused.from(error);
            return ResponseEntity.status(refused.status()).body(Map.of("error", refused.getMessage()));
        }
    }
}
