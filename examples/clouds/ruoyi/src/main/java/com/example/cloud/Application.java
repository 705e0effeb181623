package com.example.cloud;

import java.io.IOException;
import java.security.SecureRandom;

import com.example.accounts.Accounts;
import com.example.accounts.Broker;
import com.example.accounts.Refused;
import com.example.accounts.SessionFile;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;

/** A cloud in the way of RuoYi: its token, its answers and its user ids. It contains no code of RuoYi. */
@SpringBootApplication
public class Application {
    private static final SecureRandom RANDOM = new SecureRandom();

    public static void main(String[] args) {
        SpringApplication.run(Application.class, args);
    }

    /** A user id is a number of 19 digits, as from a snowflake generator: the time, and 22 random bits. */
    @Bean
    Accounts accounts() throws IOException {
        return new Accounts(() -> String.valueOf((System.currentTimeMillis() - 1_356_000_000_000L << 22) + RANDOM.nextInt(1 << 22)));
    }

    @Bean
    Broker broker(Accounts accounts) {
        return new Broker(accounts);
    }

    /** In place of Redis. */
    @Bean
    SessionFile redis() throws IOException {
        return new SessionFile();
    }

    /** As RuoYi, it answers 401 inside an HTTP 200. */
    @RestControllerAdvice
    static class Errors {
        @ExceptionHandler
        ResponseEntity<AjaxResult> answer(Exception error) {
            Refused refused = Refused.from(error);
            int status = refused.status() == 401 ? 200 : refused.status();
            return ResponseEntity.status(status).body(new AjaxResult(refused.status(), refused.getMessage()));
        }
    }
}
