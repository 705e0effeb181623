package io.sdktokenbroker.spring;

import org.springframework.boot.diagnostics.AbstractFailureAnalyzer;
import org.springframework.boot.diagnostics.FailureAnalysis;

/** A setting that prevents the start. It does not contain the value, because the value can be a secret. */
class SettingsException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final String action;

    SettingsException(String message, String action) {
        super(message + " " + action);
        this.action = action;
    }

    /** Shows the exception without a stack trace, as Spring Boot does for its own settings. */
    static class Analyzer extends AbstractFailureAnalyzer<SettingsException> {
        @Override
        protected FailureAnalysis analyze(Throwable rootFailure, SettingsException cause) {
            String description = cause.getMessage().substring(0, cause.getMessage().length() - cause.action.length());
            return new FailureAnalysis(description.strip(), cause.action, cause);
        }
    }
}
