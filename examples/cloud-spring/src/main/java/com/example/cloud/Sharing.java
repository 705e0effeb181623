package com.example.cloud;

import java.io.IOException;
import java.time.Duration;
import java.util.List;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.http.HttpStatus;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClientException;

/** What a user with a session may do: the two look-ups of sharing, and the deletion of the own account. */
@RestController
public class Sharing {
    private static final Logger LOG = LoggerFactory.getLogger(Sharing.class);
    private static final int MAX_ACCESS_IDS = 50;

    /** The part of an account that other users see: at most two thirds of the name. */
    record Person(String accessId, String nickName) {
        static Person of(Account account, String accessId) {
            int[] name = account.nickName().codePoints().toArray();
            String start = new String(name, 0, Math.min(2, name.length / 3));
            int atEnd = Math.min(1, name.length / 3);
            return new Person(accessId, start + "***" + new String(name, name.length - atEnd, atEnd));
        }
    }

    record Lookup(List<String> accessIds) {
    }

    record People(List<Person> accounts) {
    }

    private final Accounts accounts;
    private final Broker broker;
    private final Erasures erasures;
    private final LookupLimit limit;

    Sharing(Accounts accounts, Broker broker, Erasures erasures, LookupLimit limit) {
        this.accounts = accounts;
        this.broker = broker;
        this.erasures = erasures;
        this.limit = limit;
    }

    /** The SDK asks the app about the account that the owner has typed. */
    @GetMapping("/share/account")
    Person byName(@AuthenticationPrincipal Jwt session, @RequestParam(defaultValue = "") String account) throws IOException {
        countLookup(session);
        Account found = accounts.byName(account)
                .orElseThrow(() -> new Refused(HttpStatus.NOT_FOUND, "there is no such account"));
        try {
            return Person.of(found, broker.accessId(found));
        } catch (RestClientException error) {
            throw unavailable(error);
        } finally {
            erasures.eraseIfDeleted(found);
        }
    }

    /** The SDK asks the app about the people that a camera is shared with. */
    @PostMapping("/share/accounts")
    People byAccessIds(@AuthenticationPrincipal Jwt session, @RequestBody Lookup lookup) {
        countLookup(session);
        List<String> accessIds = lookup.accessIds();
        if (accessIds == null || accessIds.isEmpty() || accessIds.size() > MAX_ACCESS_IDS) {
            throw new Refused(HttpStatus.BAD_REQUEST, "accessIds must be an array of 1 to " + MAX_ACCESS_IDS + " strings");
        }
        accessIds.forEach(accessId -> Refused.unlessText(accessId, 128, "each accessId"));
        try {
            return new People(broker.unionIds(accessIds).entrySet().stream()
                    .flatMap(pair -> accounts.byUnionId(pair.getValue()).stream()
                            .map(found -> Person.of(found, pair.getKey())))
                    .toList());
        } catch (RestClientException error) {
            throw unavailable(error);
        }
    }

    @DeleteMapping("/account")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void delete(@AuthenticationPrincipal Jwt session) throws IOException {
        Account account = accounts.byUnionId(session.getSubject()).orElse(null);
        if (account == null) {
            return;
        }
        accounts.delete(account);
        limit.forget(account.unionId());
        erasures.eraseDeleted();
    }

    private void countLookup(Jwt session) {
        Duration wait = limit.count(session.getSubject());
        if (!wait.isZero()) {
            throw new Refused(HttpStatus.TOO_MANY_REQUESTS, "too many look-ups", wait);
        }
    }

    private static Refused unavailable(RestClientException error) {
        LOG.warn("a look-up failed: {}", Broker.reasonOf(error));
        return new Refused(HttpStatus.SERVICE_UNAVAILABLE, "the look-up is not possible at this moment");
    }
}
