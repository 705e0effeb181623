package com.example.accounts;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.http.converter.HttpMessageNotReadableException;
import org.springframework.web.ErrorResponse;

/** An error that the app gets, with its HTTP status. The message never has a name. */
public final class Refused extends RuntimeException {
    private static final Logger LOG = LoggerFactory.getLogger(Refused.class);

    private final int status;

    public Refused(int status, String message) {
        super(message, null, false, false);
        this.status = status;
    }

    public int status() {
        return status;
    }

    /** What the app gets for any error of a request. */
    public static Refused from(Exception error) {
        if (error instanceof Refused refused) {
            return refused;
        }
        if (error instanceof ErrorResponse response) {
            return new Refused(response.getStatusCode().value(), "the request is not as expected");
        }
        // Tomcat 11 throws InvalidParameterException for a malformed query. Tomcat 10 has no such class.
        if (error instanceof HttpMessageNotReadableException
                || error.getClass().getSimpleName().equals("InvalidParameterException")) {
            return new Refused(400, "the request is not as expected");
        }
        // The log gets no message, because it may have a name.
        StackTraceElement[] stack = error.getStackTrace();
        LOG.error("a request failed: {} at {}", error.getClass().getName(), stack.length > 0 ? stack[0] : "an unknown place");
        return new Refused(500, "the request failed");
    }
}
