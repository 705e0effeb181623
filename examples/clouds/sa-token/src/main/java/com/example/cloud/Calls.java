package com.example.cloud;

import java.io.IOException;
import java.util.Map;

import cn.dev33.satoken.stp.StpUtil;
import cn.dev33.satoken.stp.parameter.SaLoginParameter;
import cn.dev33.satoken.util.SaResult;
import com.example.accounts.Accounts;
import com.example.accounts.Accounts.Account;
import com.example.accounts.Accounts.Credentials;
import com.example.accounts.Broker;
import com.example.accounts.Refused;
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
    private static final long FREEZE_SECONDS = 24 * 3_600;

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
    SaResult login(@RequestBody Credentials sent, @RequestParam String uniqueId) {
        if (!uniqueId.matches("[!-~]{1,128}")) {
            throw new Refused(400, "uniqueId must have 1 to 128 visible ASCII characters");
        }
        StpUtil.login(accounts.login(sent).id(), new SaLoginParameter().setDeviceId(uniqueId));
        try {
            // The account may have been deleted or frozen since the password was checked.
            user();
        } catch (RuntimeException refused) {
            StpUtil.logout();
            throw refused;
        }
        return SaResult.data(Map.of("tokenValue", StpUtil.getTokenValue()));
    }

    /** For the broker (SESSION_MODE=forward). Times are in milliseconds. */
    @GetMapping("/user/info")
    SaResult userInfo() {
        Account account = user();
        long loginAt = StpUtil.getTerminalInfo().getCreateTime();
        return SaResult.data(Map.of("id", account.id(), "country", account.country(), "loginAt", loginAt));
    }

    @PostMapping("/logout")
    SaResult logout(@RequestParam String uniqueId) {
        Account account = user();
        StpUtil.logout();
        broker.logout(account.id(), uniqueId);
        return SaResult.ok();
    }

    /** Ends the sessions of all phones of the user. {@link BrokerListener} tells the broker. */
    @PostMapping("/kickout")
    SaResult kickOut() {
        StpUtil.kickout(user().id());
        return SaResult.ok();
    }

    /** The user wants no login for a day. In your cloud, an operator also bans users in this way. */
    @PostMapping("/freeze")
    SaResult freeze() {
        Account account = user();
        StpUtil.disable(account.id(), FREEZE_SECONDS);
        StpUtil.kickout(account.id());
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

    /** The account of the session. A session whose account is deleted or frozen is not valid. */
    private Account user() {
        Account account = accounts.get(StpUtil.getLoginIdAsString());
        StpUtil.checkDisable(account.id());
        // Two logins at once can lose one entry of the list of terminals. kickout(id) misses such a session.
        if (StpUtil.getTerminalInfo() == null) {
            throw new Refused(401, "a valid session is required");
        }
        return account;
    }
}
