package example;

import java.io.IOException;
import java.security.Principal;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import io.sdktokenbroker.spring.BrokerError;
import io.sdktokenbroker.spring.SdkToken;
import io.sdktokenbroker.spring.SdkTokenBroker;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.annotation.Transactional;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.filter.OncePerRequestFilter;

/** A cloud that uses the starter. In place of a session, a header names the user. README.md has parts of it. */
@SpringBootApplication
@RestController
public class CameraCloud {
    private static final Logger LOG = LoggerFactory.getLogger(CameraCloud.class);

    private final SdkTokenBroker broker;
    private final JdbcTemplate database;

    CameraCloud(SdkTokenBroker broker, JdbcTemplate database) {
        this.broker = broker;
        this.database = database;
        database.execute("CREATE TABLE IF NOT EXISTS account (id VARCHAR(128) PRIMARY KEY, country CHAR(2))");
    }

    /** A real cloud has Spring Security here. */
    @Bean
    static OncePerRequestFilter userOfTheHeader() {
        return new OncePerRequestFilter() {
            @Override
            protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
                    throws ServletException, IOException {
                String user = request.getHeader("X-User");
                chain.doFilter(new HttpServletRequestWrapper(request) {
                    @Override
                    public Principal getUserPrincipal() {
                        return user == null ? null : () -> user;
                    }
                }, response);
            }
        };
    }

    @Transactional
    @PostMapping("/accounts/{account}")
    public void register(@PathVariable String account, @RequestParam String country) {
        database.update("INSERT INTO account (id, country) VALUES (?, ?)", account, country);
    }

    private String countryOf(String account) {
        return database.queryForObject("SELECT country FROM account WHERE id = ?", String.class, account);
    }

    // docs: login
    /** Your login has checked the user, and succeeds also if the broker has no token now. */
    @PostMapping("/login")
    Map<String, Object> login(Principal user, @RequestParam String uniqueId) {
        Map<String, Object> answer = new HashMap<>();
        try {
            SdkToken token = broker.sdkToken(user.getName(), uniqueId, countryOf(user.getName()));
            answer.put("sdkToken", token.values());
            answer.put("sdkTokenEtag", token.etag());
        } catch (BrokerError error) {
            LOG.warn("login without an SDK token: {}", error.getMessage());
        }
        return answer;
    }
    // docs end

    // docs: delete
    /** Users delete only their own account. It and the order to erase it are in one transaction. */
    @Transactional
    @DeleteMapping("/account")
    public void delete(Principal user) {
        database.update("DELETE FROM account WHERE id = ?", user.getName());
        broker.eraseAccount(user.getName());
    }
    // docs end

    // docs: others
    /** The phone was lost or sold. End its session first. */
    @DeleteMapping("/account/phones/{uniqueId}")
    void logOut(Principal user, @PathVariable String uniqueId) {
        broker.logOut(user.getName(), uniqueId);
    }

    /** The user was kicked out or banned, or has a new password. End all sessions first. */
    void logOutEverywhere(String account) {
        broker.logOutEverywhere(account);
    }

    /** The owner of a camera has typed this account, to share the camera with it. */
    String accessIdToShareWith(String account) {
        return broker.accessId(account, countryOf(account));
    }

    /** The accounts that a camera is shared with, by accessId. */
    Map<String, String> sharedWith(List<String> accessIds) {
        return broker.unionIds(accessIds);
    }
    // docs end
}
