package io.sdktokenbroker.spring;

import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;

import javax.sql.DataSource;

import io.sdktokenbroker.spring.ErasureOutbox.Erasure;
import io.sdktokenbroker.spring.support.CannedServer;
import io.sdktokenbroker.spring.support.LocalBroker;
import io.sdktokenbroker.spring.support.TestApplication;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.datasource.ConnectionHolder;
import org.springframework.transaction.PlatformTransactionManager;
import org.springframework.transaction.support.TransactionSynchronizationManager;
import org.springframework.transaction.support.TransactionTemplate;

import static io.sdktokenbroker.spring.support.CannedServer.problem;
import static io.sdktokenbroker.spring.support.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.catchThrowable;

/** Erasures, in applications without a web server. */
@ExtendWith(OutputCaptureExtension.class)
class ErasureTest {
    private static final String ERASED = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

    @TempDir
    private Path folder;
    private final String account = LocalBroker.newAccount();

    @Configuration
    @EnableAutoConfiguration
    static class Application {
    }

    /** An application that keeps its erasures in another place. */
    @Configuration
    @EnableAutoConfiguration
    static class OwnOutbox implements ErasureOutbox {
        static final Queue<Erasure> ERASURES = new ArrayDeque<>();

        @Override
        public synchronized void add(String unionId) {
            ERASURES.add(new Erasure("1", unionId));
        }

        @Override
        public synchronized Optional<Erasure> claim(Duration lease) {
            return Optional.ofNullable(ERASURES.poll());
        }

        @Override
        public synchronized void postpone(Erasure erasure, Duration delay) {
            ERASURES.add(erasure);
        }

        @Override
        public void remove(Erasure erasure) {
        }

        @Override
        public synchronized long count() {
            return ERASURES.size();
        }
    }

    private ConfigurableApplicationContext start(String brokerUrl, String... settings) {
        return TestApplication.startWithoutWeb(Application.class,
                TestApplication.settings(brokerUrl, folder, settings));
    }

    private static long rows(ConfigurableApplicationContext application) {
        return application.getBean(ErasureOutbox.class).count();
    }

    @Test
    void anErasureSurvivesAnOutageOfTheBrokerAndARestartOfTheApplication(CapturedOutput output) {
        LocalBroker local = LocalBroker.shared();
        try (ConfigurableApplicationContext application = start(local.url())) {
            SdkTokenBroker broker = application.getBean(SdkTokenBroker.class);
            broker.sdkToken(account, "phone-1", "DE");
            local.stopBroker();
            broker.eraseAccount(account);
            eventually(() -> output.getAll().contains("An erasure failed and is repeated in "));
            assertThat(rows(application)).isEqualTo(1);
        } finally {
            local.startBroker();
        }
        assertThat(local.accountStatus(account)).isEqualTo(200);
        try (ConfigurableApplicationContext application = start(local.url())) {
            eventually(() -> local.accountStatus(account) == 404);
            eventually(() -> rows(application) == 0);
        }
        assertThat(output.getAll()).doesNotContain(account, LocalBroker.KEY);
    }

    @Test
    void anErasureIsPartOfTheTransactionThatDeletesTheAccount() {
        LocalBroker local = LocalBroker.shared();
        try (ConfigurableApplicationContext application = start(local.url())) {
            SdkTokenBroker broker = application.getBean(SdkTokenBroker.class);
            TransactionTemplate transaction =
                    new TransactionTemplate(application.getBean(PlatformTransactionManager.class));
            broker.sdkToken(account, "phone-1", "DE");
            transaction.executeWithoutResult(status -> {
                broker.eraseAccount(account);
                status.setRollbackOnly();
            });
            assertThat(rows(application)).isZero();
            assertThat(local.accountStatus(account)).isEqualTo(200);
            transaction.executeWithoutResult(status -> broker.eraseAccount(account));
            eventually(() -> local.accountStatus(account) == 404);
        }
    }

    @Test
    void anErasureIsPartOfATransactionOfJpa() throws SQLException {
        try (ConfigurableApplicationContext application =
                start("http://127.0.0.1:1", "sdk-token-broker.outbox.poll-interval=1h")) {
            DataSource dataSource = application.getBean(DataSource.class);
            // The transaction manager of JPA gives its connection to JdbcTemplate in this way.
            try (Connection connection = dataSource.getConnection()) {
                TransactionSynchronizationManager.bindResource(dataSource, new ConnectionHolder(connection));
                TransactionSynchronizationManager.setActualTransactionActive(true);
                application.getBean(SdkTokenBroker.class).eraseAccount(account);
                connection.rollback();
            } finally {
                TransactionSynchronizationManager.setActualTransactionActive(false);
                TransactionSynchronizationManager.unbindResource(dataSource);
            }
            assertThat(rows(application)).isZero();
        }
    }

    @Test
    void aRetryWaitsAsLongAsRetryAfterDemands() throws IOException {
        try (CannedServer server = new CannedServer(problem(503, "store_unavailable", true, "Retry-After: 1"), ERASED);
                ConfigurableApplicationContext application = start(server.url())) {
            application.getBean(SdkTokenBroker.class).eraseAccount(account);
            eventually(() -> rows(application) == 0);
            assertThat(Duration.ofNanos(server.requests.get(1) - server.requests.get(0)))
                    .isGreaterThanOrEqualTo(Duration.ofMillis(990));
        }
    }

    @Test
    void anErasureThatAStopInterruptsIsSentAgainAtTheNextStart(CapturedOutput output) throws IOException {
        try (CannedServer server = new CannedServer("HTTP/1.1 204 No")) {
            try (ConfigurableApplicationContext application = start(server.url())) {
                application.getBean(SdkTokenBroker.class).eraseAccount(account);
                eventually(() -> server.requests.size() == 1);
            }
        }
        try (CannedServer server = new CannedServer(ERASED);
                ConfigurableApplicationContext application = start(server.url())) {
            eventually(() -> rows(application) == 0);
        }
        assertThat(output.getAll()).doesNotContain("failed");
    }

    @Test
    void anErasureThatTheBrokerRefusesStaysAndDoesNotHoldUpTheOthers(CapturedOutput output) throws IOException {
        try (CannedServer server = new CannedServer(problem(400, "request_invalid", false), ERASED);
                ConfigurableApplicationContext application = start(server.url())) {
            application.getBean(SdkTokenBroker.class).eraseAccount("refused-account");
            eventually(() -> server.requests.size() == 1);
            application.getBean(SdkTokenBroker.class).eraseAccount(account);
            eventually(() -> server.requests.size() == 2 && rows(application) == 1);
            assertThat(output.getAll()).contains("The broker cannot erase an account, erasure ")
                    .doesNotContain("refused-account");
        }
    }

    @Test
    void anErasureGoesToOneInstanceAndReturnsAfterTheLease() {
        try (ConfigurableApplicationContext application =
                start("http://127.0.0.1:1", "sdk-token-broker.outbox.poll-interval=1h")) {
            ErasureOutbox one = application.getBean(ErasureOutbox.class);
            one.add(account);
            one.add(account);
            Erasure first = one.claim(Duration.ofMinutes(1)).orElseThrow();
            Erasure second = one.claim(Duration.ZERO).orElseThrow();
            assertThat(first).isNotEqualTo(second).extracting(Object::toString).asString().doesNotContain(account);
            one.remove(first);
            assertThat(one.claim(Duration.ofMinutes(1))).contains(second);
            assertThat(one.claim(Duration.ofMinutes(1))).isEmpty();
            one.postpone(second, Duration.ZERO);
            assertThat(one.claim(Duration.ofMinutes(1))).contains(second);
            assertThat(one.count()).isEqualTo(1);
        }
    }

    @Test
    void instancesThatClaimAtTheSameTimeGetDifferentErasures() {
        try (ConfigurableApplicationContext application =
                start("http://127.0.0.1:1", "sdk-token-broker.outbox.poll-interval=1h")) {
            ErasureOutbox outbox = application.getBean(ErasureOutbox.class);
            IntStream.range(0, 40).forEach(number -> outbox.add(account + number));
            Set<Erasure> claimed = ConcurrentHashMap.newKeySet();
            IntStream.range(0, 8).parallel().forEach(instance -> {
                for (Optional<Erasure> next; (next = outbox.claim(Duration.ofMinutes(1))).isPresent();) {
                    assertThat(claimed.add(next.get())).isTrue();
                }
            });
            assertThat(claimed).hasSize(40);
        }
    }

    @Test
    void aFailureOfTheDatabaseIsLoggedWithoutItsMessage(CapturedOutput output) {
        try (ConfigurableApplicationContext application = start("http://127.0.0.1:1")) {
            application.getBean(JdbcTemplate.class).execute("DROP TABLE sdk_token_broker_erasure");
            eventually(() -> output.getAll().contains("The outbox of erasures failed and is used again in "));
            assertThat(output.getAll()).contains("SQL state 42S0");
        }
    }

    @Test
    void withoutATableAndWithoutThePermissionToCreateItTheStartFailsWithTheStatement(CapturedOutput output) {
        Throwable error = catchThrowable(() -> start(
                "http://127.0.0.1:1", "sdk-token-broker.outbox.create-table=false"));
        assertThat(error).isNotNull();
        assertThat(output.getAll()).contains("APPLICATION FAILED TO START",
                "The table sdk_token_broker_erasure for erasures cannot be read.",
                "Run: CREATE TABLE sdk_token_broker_erasure (id VARCHAR(36) PRIMARY KEY");
    }

    @Test
    void anIntervalMustBePositive(CapturedOutput output) {
        Throwable error = catchThrowable(() -> start(
                "http://127.0.0.1:1", "sdk-token-broker.outbox.poll-interval=0"));
        assertThat(error).isNotNull();
        assertThat(output.getAll()).contains("APPLICATION FAILED TO START",
                "sdk-token-broker.outbox.poll-interval is less than 1 ms.");
    }

    @Test
    void aTableThatTheApplicationCreatesIsUsed() {
        String statement = "RUNSCRIPT FROM 'classpath:erasure-table.sql'";
        try (ConfigurableApplicationContext application = start("http://127.0.0.1:1",
                "sdk-token-broker.outbox.table=cloud.erasures", "sdk-token-broker.outbox.create-table=false",
                "spring.datasource.url=jdbc:h2:mem:own;INIT=" + statement)) {
            assertThat(rows(application)).isZero();
        }
    }

    @Test
    void anOutboxOfTheApplicationIsUsed() {
        LocalBroker local = LocalBroker.shared();
        try (ConfigurableApplicationContext application = TestApplication.startWithoutWeb(OwnOutbox.class,
                TestApplication.settings(local.url(), folder))) {
            SdkTokenBroker broker = application.getBean(SdkTokenBroker.class);
            broker.sdkToken(account, "phone-1", "DE");
            broker.eraseAccount(account);
            eventually(() -> local.accountStatus(account) == 404);
            assertThat(application.getBeansOfType(JdbcErasureOutbox.class)).isEmpty();
        }
    }

    @Test
    void withoutAnOutboxTheStartWarnsAndEraseAccountFails(CapturedOutput output) {
        LocalBroker local = LocalBroker.shared();
        String exclude = "spring.autoconfigure.exclude="
                + "org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration,"
                + "org.springframework.boot.jdbc.autoconfigure.DataSourceAutoConfiguration";
        try (ConfigurableApplicationContext application = start(local.url(), exclude)) {
            assertThat(output.getAll())
                    .contains("eraseAccount() will fail, because there is no ErasureOutbox. Add a DataSource");
            SdkTokenBroker broker = application.getBean(SdkTokenBroker.class);
            assertThatIllegalStateException().isThrownBy(() -> broker.eraseAccount(account))
                    .withMessageStartingWith("There is no ErasureOutbox. Add a DataSource");
            broker.eraseAccountNow(account);
        }
    }
}
