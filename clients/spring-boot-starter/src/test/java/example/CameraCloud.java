package example;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

import io.sdktokenbroker.spring.BrokerException;
import io.sdktokenbroker.spring.SdkToken;
import io.sdktokenbroker.spring.SdkTokenBroker;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.annotation.Transactional;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** A cloud that uses the starter, without sessions. README.md has parts of it. */
@SpringBootApplication
@RestController
public class CameraCloud {
    private static final Logger LOG = LoggerFactory.getLogger(CameraCloud.class);

    private final SdkTokenBroker broker;
    private final JdbcTemplate database;

    CameraCloud(SdkTokenBroker broker, JdbcTemplate database) {
        this.broker = broker;
        this.database = database;
        database.execute("CREATE TABLE IF NOT EXISTS account (id VARCHAR(128) PRIMARY KEY)");
    }

    @PostMapping("/accounts/{account}")
    void register(@PathVariable String account) {
        database.update("INSERT INTO account (id) VALUES (?)", account);
    }

    // docs: login
    /** Call it after your login has checked the user. The login succeeds also if the broker has no token now. */
    @PostMapping("/login")
    Map<String, Object> login(@RequestParam String account, @RequestParam String uniqueId) {
        Map<String, Object> answer = new HashMap<>();
        try {
            SdkToken token = broker.sdkToken(account, uniqueId, "DE");
            answer.put("sdkToken", token.values());
            answer.put("sdkTokenEtag", token.etag());
        } catch (BrokerException error) {
            LOG.warn("login without an SDK token: {}", error.getMessage());
        }
        return answer;
    }
    // docs end

    // docs: delete
    /** The account and the order to erase it are in one transaction. */
    @Transactional
    @DeleteMapping("/accounts/{account}")
    public void delete(@PathVariable String account) {
        database.update("DELETE FROM account WHERE id = ?", account);
        broker.eraseAccount(account);
    }
    // docs end

    // docs: others
    /** The phone was lost or sold. End its session first. */
    @DeleteMapping("/accounts/{account}/phones/{uniqueId}")
    void logOut(@PathVariable String account, @PathVariable String uniqueId) {
        broker.logOut(account, uniqueId);
    }

    /** The owner of a camera has typed this account, to share the camera with it. */
    String accessIdToShareWith(String account) {
        return broker.accessId(account, "DE");
    }

    /** The accounts that a camera is shared with, by accessId. */
    Map<String, String> sharedWith(List<String> accessIds) {
        return broker.unionIds(accessIds);
    }
    // docs end
}
