package io.sdktokenbroker.spring;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

import javax.sql.DataSource;

import org.springframework.beans.factory.SmartInitializingSingleton;
import org.springframework.dao.DataAccessException;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.datasource.DataSourceTransactionManager;
import org.springframework.transaction.support.TransactionSynchronizationManager;
import org.springframework.transaction.support.TransactionTemplate;

/** Keeps the erasures in a table. Its SQL is the same for all common databases. */
class JdbcErasureOutbox implements ErasureOutbox, SmartInitializingSingleton {
    /** How many instances of the application can claim at the same moment without a conflict. */
    private static final int CANDIDATES = 20;

    private record Candidate(Erasure erasure, long dueAt) {
    }

    private final JdbcTemplate jdbc;
    // Commits the changes of the worker also if the connections of the pool do not commit by themselves.
    private final TransactionTemplate transaction;
    private final String table;
    private final boolean createTable;

    JdbcErasureOutbox(DataSource dataSource, SdkTokenBrokerProperties.Outbox settings) {
        jdbc = new JdbcTemplate(dataSource);
        jdbc.setMaxRows(CANDIDATES);
        transaction = new TransactionTemplate(new DataSourceTransactionManager(dataSource));
        table = settings.table();
        createTable = settings.createTable();
        if (!table.matches("\\w+(\\.\\w+)*")) {
            throw new SettingsException("sdk-token-broker.outbox.table is not the name of a table.",
                    "Use letters, digits and underscores, and a dot after the name of a schema.");
        }
    }

    /** After all beans exist, so that Flyway or Liquibase has created the table, if this is their task. */
    @Override
    public void afterSingletonsInstantiated() {
        try {
            count();
        } catch (DataAccessException missing) {
            create(missing);
        }
    }

    @Override
    public void add(String unionId) {
        String sql = "INSERT INTO " + table + " (id, union_id, due_at) VALUES (?, ?, ?)";
        Object[] row = {UUID.randomUUID().toString(), unionId, System.currentTimeMillis()};
        if (TransactionSynchronizationManager.isActualTransactionActive()) {
            jdbc.update(sql, row);
        } else {
            update(sql, row);
        }
    }

    @Override
    public Optional<Erasure> claim(Duration lease) {
        long now = System.currentTimeMillis();
        List<Candidate> candidates = transaction.execute(status -> jdbc.query(
                "SELECT id, union_id, due_at FROM " + table + " WHERE due_at <= ? ORDER BY due_at",
                (row, number) -> new Candidate(new Erasure(row.getString(1), row.getString(2)), row.getLong(3)), now));
        // Another instance that was faster has changed due_at.
        return candidates.stream()
                .filter(candidate -> update("UPDATE " + table + " SET due_at = ? WHERE id = ? AND due_at = ?",
                        now + lease.toMillis(), candidate.erasure().id(), candidate.dueAt()) == 1)
                .map(Candidate::erasure).findFirst();
    }

    @Override
    public void postpone(Erasure erasure, Duration delay) {
        update("UPDATE " + table + " SET due_at = ? WHERE id = ?", System.currentTimeMillis() + delay.toMillis(),
                erasure.id());
    }

    @Override
    public void remove(Erasure erasure) {
        update("DELETE FROM " + table + " WHERE id = ?", erasure.id());
    }

    @Override
    public long count() {
        return transaction.execute(status -> jdbc.queryForObject("SELECT COUNT(*) FROM " + table, Long.class));
    }

    private int update(String sql, Object... values) {
        return transaction.execute(status -> jdbc.update(sql, values));
    }

    private void create(DataAccessException missing) {
        String statement = "CREATE TABLE " + table
                + " (id VARCHAR(36) PRIMARY KEY, union_id VARCHAR(512) NOT NULL, due_at BIGINT NOT NULL)";
        try {
            if (createTable) {
                update(statement);
                return;
            }
        } catch (DataAccessException refused) {
            missing.addSuppressed(refused);
        }
        try {
            // Another instance may have created it at the same moment.
            count();
        } catch (DataAccessException stillMissing) {
            SettingsException error = new SettingsException("The table " + table + " for erasures cannot be read"
                    + (createTable ? ", and cannot be created." : "."), "Run: " + statement);
            error.initCause(missing);
            throw error;
        }
    }
}
