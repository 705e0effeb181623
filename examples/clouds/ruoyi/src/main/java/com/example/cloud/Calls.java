package com.example.cloud;

import java.io.IOException;
import java.util.Map;

import com.example.accounts.Accounts;
import com.example.accounts.Accounts.Account;
import com.example.accounts.Accounts.Credentials;
import com.example.accounts.Broker;
import com.example.cloud.TokenService.LoginUser;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestHeader;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

/** The calls of the app, and of the broker. */
@RestController
public class Calls {
    private final Accounts accounts;
    private final Broker broker;
    private final TokenService tokens;

    Calls(Accounts accounts, Broker broker, TokenService tokens) {
        this.accounts = accounts;
        this.broker = broker;
        this.tokens = tokens;
    }

    @GetMapping("/healthz")
    AjaxResult healthz() {
        return AjaxResult.success();
    }

    @PostMapping("/register")
    @ResponseStatus(HttpStatus.CREATED)
    AjaxResult register(@RequestBody Credentials sent) throws IOException {
        accounts.register(sent);
        return AjaxResult.success();
    }

    @PostMapping("/login")
    AjaxResult login(@RequestBody Credentials sent) {
        Account account = accounts.login(sent);
        String token = tokens.createToken(account.id());
        try {
            // The account may have been deleted since the password was checked. Look only after the session has its time.
            accounts.get(account.id());
        } catch (RuntimeException deleted) {
            tokens.delete(tokens.loginUser(token));
            throw deleted;
        }
        return AjaxResult.success().with("token", token);
    }

    /** For the broker (SESSION_MODE=forward). RuoYi's own answer has no loginUser: add it. */
    @GetMapping("/getInfo")
    AjaxResult getInfo(@RequestHeader(defaultValue = "") String authorization) {
        LoginUser session = tokens.loginUser(authorization);
        Account account = accounts.get(session.userId());
        return AjaxResult.success()
                .with("user", Map.of("userId", Long.valueOf(account.id()), "country", account.country()))
                .with("loginUser", Map.of("loginTime", session.loginTime(), "expireTime", session.expireTime()));
    }

    @PostMapping("/logout")
    AjaxResult logout(@RequestHeader(defaultValue = "") String authorization, @RequestParam String uniqueId) {
        LoginUser session = tokens.loginUser(authorization);
        Account account = accounts.get(session.userId());
        tokens.delete(session);
        broker.logout(account.id(), uniqueId);
        return AjaxResult.success();
    }

    /** The other sessions of the account end here too, because each call looks the account up. */
    @DeleteMapping("/account")
    AjaxResult delete(@RequestHeader(defaultValue = "") String authorization) throws IOException {
        LoginUser session = tokens.loginUser(authorization);
        accounts.delete(accounts.get(session.userId()).id());
        tokens.delete(session);
        broker.eraseDeleted();
        return AjaxResult.success();
    }
}
