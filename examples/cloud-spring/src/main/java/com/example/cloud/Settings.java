package com.example.cloud;

import java.net.URI;
import java.nio.file.Path;

import org.springframework.boot.context.properties.ConfigurationProperties;

/** The settings of application.properties, which come from the environment. */
@ConfigurationProperties("cloud")
public record Settings(Path dataDir, URI brokerUrl, String brokerToken, String issuer, String audience) {
}
