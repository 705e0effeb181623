package com.example.cloud;

import java.io.IOException;
import java.util.Map;

import cn.dev33.satoken.stp.StpUtil;
import cn.dev33.satoken.util.SaResult;
import com.example.accounts.Accounts;
import com.example.accounts.Accounts.Account;
import com.example.accounts.Accounts.Credentials;
import com.example.accounts.Broker;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

/** The calls of the app, and of the broker. */
@RestController
public class Calls {
    private static final String LOGIN_AT = "loginAt";

    private final Accounts accounts;
    private final Broker broker;

    Calls(Accounts accounts, Broker broker) {
        this.accounts = accounts;
        this.broker = broker;
    }

    @GetMapping("/healthz")
    SaResult healthz() {
        return SaResult.ok();
    }

    @PostMapping("/register")
    @ResponseStatus(HttpStatus.CREATED)
    SaResult register(@RequestBody Credentials sent) throws IOException {
        accounts.register(sent);
        return SaResult.ok();
    }

    @PostMapping("/login")
    SaResult login(@RequestBody Credentials sent) {
        Account account = accounts.login(sent);
        StpUtil.login(account.id());
        // In the Token-Session, because two logins at once can lose one entry of the list of terminals (SaTerminalInfo).
        StpUtil.getTokenSession().set(LOGIN_AT, System.currentTimeMillis());
        try {
            // The account may have been deleted since the password was checked. Look only after LOGIN_AT is set.
            accounts.get(account.id());
        } catch (RuntimeException deleted) {
            StpUtil.logout();
            throw deleted;
        }
        return SaResult.data(Map.of("tokenValue", StpUtil.getTokenValue()));
    }

    /** For the broker (SESSION_MODE=forward). Times are in milliseconds. */
    @GetMapping("/user/info")
    SaResult userInfo() {
        Account account = user();
        long loginAt = StpUtil.getTokenSession().getLong(LOGIN_AT);
        return SaResult.data(Map.of("id", account.id(), "country", account.country(), "loginAt", loginAt));
    }

    @PostMapping("/logout")
    SaResult logout(@RequestParam String uniqueId) {
        Account account = user();
        StpUtil.logout();
        broker.logout(account.id(), uniqueId);
        return SaResult.ok();
    }

    @DeleteMapping("/account")
    SaResult delete() throws IOException {
        Account account = user();
        accounts.delete(account.id());
        StpUtil.logout(account.id());
        broker.eraseDeleted();
        return SaResult.ok();
    }

    /** The account of the session. A session whose account is deleted is not valid. */
    private Account user() {
        return accounts.get(StpUtil.getLoginIdAsString());
    }
}
