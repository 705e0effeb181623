package com.example.cloud;

import java.time.Duration;
import java.util.Map;

import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.http.converter.HttpMessageNotReadableException;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;

/** The app gets this status and {"error": message}. */
public class Refused extends RuntimeException {
    private final HttpStatus status;
    private final Duration retryAfter;

    Refused(HttpStatus status, String message) {
        this(status, message, Duration.ZERO);
    }

    Refused(HttpStatus status, String message, Duration retryAfter) {
        super(message);
        this.status = status;
        this.retryAfter = retryAfter;
    }

    static void unlessText(String text, int maxLength, String name) {
        if (text == null || text.isEmpty() || text.length() > maxLength) {
            throw new Refused(HttpStatus.BAD_REQUEST, name + " must be a text of 1 to " + maxLength + " characters");
        }
    }

    static void unlessMatches(String text, String pattern, String name) {
        if (text == null || !text.matches(pattern)) {
            throw new Refused(HttpStatus.BAD_REQUEST, name + " must match " + pattern);
        }
    }

    @RestControllerAdvice
    static class Answers {
        @ExceptionHandler
        ResponseEntity<Map<String, String>> answer(Refused refused) {
            ResponseEntity.BodyBuilder answer = ResponseEntity.status(refused.status);
            if (!refused.retryAfter.isZero()) {
                answer.header("Retry-After", String.valueOf(refused.retryAfter.plusMillis(999).toSeconds()));
            }
            return answer.body(Map.of("error", refused.getMessage()));
        }

        @ExceptionHandler
        ResponseEntity<Map<String, String>> answer(HttpMessageNotReadableException malformed) {
            return ResponseEntity.badRequest().body(Map.of("error", "the body is not the JSON object that is expected"));
        }
    }
}
