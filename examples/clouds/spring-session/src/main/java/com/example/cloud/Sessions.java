package com.example.cloud;

import java.io.IOException;
import java.security.Principal;
import java.time.Instant;
import java.util.List;
import java.util.Map;

import com.example.accounts.Accounts;
import com.example.accounts.Accounts.Account;
import com.example.accounts.Accounts.Credentials;
import com.example.accounts.Broker;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import org.springframework.http.HttpStatus;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextImpl;
import org.springframework.security.web.authentication.session.ChangeSessionIdAuthenticationStrategy;
import org.springframework.security.web.context.HttpSessionSecurityContextRepository;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

/** The calls of the app, and of the broker. */
@RestController
public class Sessions {
    /** Epoch seconds. Not getCreationTime(): a session keeps that through changeSessionId(), so it may be long before the login. */
    private static final String LOGIN_AT = "loginAt";

    private final ChangeSessionIdAuthenticationStrategy sessionId = new ChangeSessionIdAuthenticationStrategy();
    private final HttpSessionSecurityContextRepository contexts = new HttpSessionSecurityContextRepository();
    private final Accounts accounts;
    private final Broker broker;
    private final FindByIndexNameSessionRepository<?> sessions;

    Sessions(Accounts accounts, Broker broker, FindByIndexNameSessionRepository<?> sessions) {
        this.accounts = accounts;
        this.broker = broker;
        this.sessions = sessions;
    }

    @GetMapping("/healthz")
    void healthz() {
    }

    @PostMapping("/register")
    @ResponseStatus(HttpStatus.CREATED)
    void register(@RequestBody Credentials sent) throws IOException {
        accounts.register(sent);
    }

    @PostMapping("/login")
    void login(@RequestBody Credentials sent, HttpServletRequest request, HttpServletResponse response) {
        Account account = accounts.login(sent);
        Authentication user = UsernamePasswordAuthenticationToken.authenticated(account.id(), null, List.of());
        HttpSession session = request.getSession();
        sessionId.onAuthentication(user, request, response);
        session.setAttribute(LOGIN_AT, Instant.now().getEpochSecond());
        contexts.saveContext(new SecurityContextImpl(user), request, response);
        try {
            // The account may have been deleted since the password was checked. Look only after LOGIN_AT is set.
            accounts.get(account.id());
        } catch (RuntimeException deleted) {
            session.invalidate();
            throw deleted;
        }
    }

    /** For the broker (SESSION_MODE=forward). A session whose account is deleted gets 401. */
    @GetMapping("/whoami")
    Map<String, Object> whoAmI(Principal user, HttpSession session) {
        Account account = accounts.get(user.getName());
        return Map.of("sub", account.id(), "region", account.country(), "iat", session.getAttribute(LOGIN_AT));
    }

    @PostMapping("/logout")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void logout(Principal user, HttpSession session, @RequestParam String uniqueId) {
        Account account = accounts.get(user.getName());
        session.invalidate();
        broker.logout(account.id(), uniqueId);
    }

    @DeleteMapping("/account")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void delete(Principal user) throws IOException {
        Account account = accounts.get(user.getName());
        accounts.delete(account.id());
        sessions.findByPrincipalName(account.id()).keySet().forEach(sessions::deleteById);
        broker.eraseDeleted();
    }
}
