package com.example.cloud;

import java.io.IOException;
import java.util.UUID;

import cn.dev33.satoken.exception.DisableServiceException;
import cn.dev33.satoken.exception.NotLoginException;
import cn.dev33.satoken.util.SaResult;
import com.example.accounts.Accounts;
import com.example.accounts.Broker;
import com.example.accounts.Refused;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;

/** A cloud with Sa-Token. Its answers are a SaResult: HTTP 200, and the code of the result inside. */
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

    private static final int BANNED = 403;

    /** The codes that the broker must know, 401 and 403, come with HTTP 200. */
    @RestControllerAdvice
    static class Errors {
        @ExceptionHandler
        ResponseEntity<SaResult> answer(Exception error) {
            Refused refused = refusalOf(error);
            boolean isForBroker = refused.status() == SaResult.CODE_NOT_LOGIN || refused.status() == BANNED;
            int status = isForBroker ? 200 : refused.status();
            return ResponseEntity.status(status).body(SaResult.get(refused.status(), refused.getMessage(), null));
        }

        private static Refused refusalOf(Exception error) {
            if (error instanceof NotLoginException) {
                return new Refused(SaResult.CODE_NOT_LOGIN, "a valid session is required");
            }
            return error instanceof DisableServiceException ? new Refused(BANNED, "this account is banned") : Refused.from(error);
        }
    }
}
