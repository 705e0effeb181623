package com.example.cloud;

import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

import com.fasterxml.jackson.annotation.JsonInclude;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.http.HttpStatus;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClientException;

/** Registration and login. The answer holds the first SDK token already. */
@RestController
public class Login {
    private static final Logger LOG = LoggerFactory.getLogger(Login.class);
    /** The broker refuses other codes, such as UK and EU. */
    private static final Set<String> COUNTRIES = Set.of(Locale.getISOCountries());

    /** @param uniqueId the phone: phoneUniqueId() of the SDK. Without it, the answer has no SDK token. */
    record Registration(String account, String password, String nickName, String country, String uniqueId) {
    }

    record Credentials(String account, String password, String uniqueId) {
    }

    @JsonInclude(JsonInclude.Include.NON_NULL)
    record Answer(String session, long expiresIn, Map<String, String> sdkToken, String sdkTokenEtag) {
    }

    private final Accounts accounts;
    private final Sessions sessions;
    private final Broker broker;
    private final Erasures erasures;

    Login(Accounts accounts, Sessions sessions, Broker broker, Erasures erasures) {
        this.accounts = accounts;
        this.sessions = sessions;
        this.broker = broker;
        this.erasures = erasures;
    }

    @PostMapping("/register")
    @ResponseStatus(HttpStatus.CREATED)
    Answer register(@RequestBody Registration sent) throws IOException {
        Refused.unlessText(sent.account(), 100, "account");
        Refused.unlessText(sent.password(), 200, "password");
        Refused.unlessText(sent.nickName(), 50, "nickName");
        if (sent.country() == null || !COUNTRIES.contains(sent.country())) {
            throw new Refused(HttpStatus.BAD_REQUEST, "country must be a code that ISO 3166-1 assigns");
        }
        refuseWrongPhone(sent.uniqueId());
        // In a real cloud: confirm the e-mail address or the phone number first, and tell nobody here that a name is taken.
        Account account = accounts.create(sent.account(), sent.password(), sent.nickName(), sent.country())
                .orElseThrow(() -> new Refused(HttpStatus.CONFLICT, "this account exists"));
        return answer(account, sent.uniqueId());
    }

    @PostMapping("/login")
    Answer login(@RequestBody Credentials sent) throws IOException {
        Refused.unlessText(sent.account(), 100, "account");
        Refused.unlessText(sent.password(), 200, "password");
        refuseWrongPhone(sent.uniqueId());
        Account account = accounts.authenticate(sent.account(), sent.password())
                .orElseThrow(() -> new Refused(HttpStatus.UNAUTHORIZED, "account or password is wrong"));
        return answer(account, sent.uniqueId());
    }

    // docs: keys
    @GetMapping("/.well-known/jwks.json")
    Map<String, Object> keys() {
        return sessions.publicKeys().toJSONObject();
    }
    // docs end

    // docs: whoami
    /** For SESSION_MODE=forward of the broker: the claims of the session that the broker passes on. */
    @GetMapping("/whoami")
    Map<String, Object> whoAmI(@AuthenticationPrincipal Jwt session) {
        return Map.of(
                "sub", session.getSubject(),
                "region", session.getClaimAsString("region"),
                "iat", session.getIssuedAt().getEpochSecond(),
                "exp", session.getExpiresAt().getEpochSecond());
    }
    // docs end

    private static void refuseWrongPhone(String uniqueId) {
        if (uniqueId != null) {
            Refused.unlessMatches(uniqueId, "[\\x21-\\x7e]{1,128}", "uniqueId");
        }
    }

    /** If the broker has no SDK token now, the app asks the broker later. */
    private Answer answer(Account account, String uniqueId) throws IOException {
        String session = sessions.issue(account);
        long expiresIn = Sessions.LIFETIME.toSeconds();
        if (uniqueId != null) {
            try {
                Broker.SdkToken sdk = broker.sdkToken(account, uniqueId);
                return new Answer(session, expiresIn, sdk.token(), sdk.etag());
            } catch (RestClientException error) {
                LOG.warn("login without an SDK token: {}", Broker.reasonOf(error));
            } finally {
                erasures.eraseIfDeleted(account);
            }
        }
        return new Answer(session, expiresIn, null, null);
    }
}
