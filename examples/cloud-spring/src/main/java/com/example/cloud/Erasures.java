package com.example.cloud;

import java.io.IOException;
import java.util.Map;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.scheduling.annotation.Scheduled;
import org.springframework.stereotype.Component;
import org.springframework.web.client.RestClientException;

/** Erases deleted accounts at the broker. */
@Component
public class Erasures {
    private static final Logger LOG = LoggerFactory.getLogger(Erasures.class);

    private final Accounts accounts;
    private final Broker broker;

    Erasures(Accounts accounts, Broker broker) {
        this.accounts = accounts;
        this.broker = broker;
    }

    /** A failed erasure is tried again, also after a restart. */
    @Scheduled(fixedDelay = 2_000)
    void eraseDeleted() throws IOException {
        for (Map.Entry<String, Integer> deleted : accounts.toErase().entrySet()) {
            try {
                broker.erase(deleted.getKey());
                accounts.erased(deleted.getKey(), deleted.getValue());
            } catch (RestClientException error) {
                LOG.warn("an erasure failed and is tried again: {}", Broker.reasonOf(error));
            }
        }
    }

    /** A question about an account creates it anew at the broker. So an account that was deleted during the question is erased again. */
    void eraseIfDeleted(Account account) throws IOException {
        if (accounts.byUnionId(account.unionId()).isEmpty()) {
            accounts.eraseLater(account.unionId());
        }
    }
}
