package com.example.cloud;

import cn.dev33.satoken.SaManager;
import cn.dev33.satoken.listener.SaTokenListenerForSimple;
import cn.dev33.satoken.stp.parameter.SaLoginParameter;
import cn.dev33.satoken.util.SaTokenConsts;
import com.example.accounts.Broker;
import org.springframework.stereotype.Component;

/** Tells the broker about sessions that Sa-Token has ended. Without it, the broker believes them for up to 30 s. */
@Component
public class BrokerListener extends SaTokenListenerForSimple {
    private final Broker broker;

    BrokerListener(Broker broker) {
        this.broker = broker;
    }

    /** Keeps the phone of the token. Sa-Token has deleted its own entry when it calls doKickout. */
    @Override
    public void doLogin(String loginType, Object id, String token, SaLoginParameter login) {
        SaManager.getSaTokenDao().set(phoneKey(token), login.getDeviceId(), login.getTimeout());
    }

    /** Sa-Token calls this for each session that kickout() ends. */
    @Override
    public void doKickout(String loginType, Object id, String token) {
        logOut(id, token);
    }

    /** Another phone has logged in, with is-concurrent=false. Its own session goes on, so only one phone is logged out. */
    @Override
    public void doReplaced(String loginType, Object id, String token) {
        logOut(id, token);
    }

    @Override
    public void doDisable(String loginType, Object id, String service, int level, long seconds) {
        // A ban of one service, for example of comments, is no ban of the cameras.
        if (service.equals(SaTokenConsts.DEFAULT_DISABLE_SERVICE)) {
            broker.logoutEverywhere(id.toString());
        }
    }

    private void logOut(Object id, String token) {
        String uniqueId = SaManager.getSaTokenDao().get(phoneKey(token));
        if (uniqueId == null) {
            // This session is older than this class.
            broker.logoutEverywhere(id.toString());
        } else {
            broker.logout(id.toString(), uniqueId);
        }
    }

    private static String phoneKey(String token) {
        return SaManager.getConfig().getTokenName() + ":phone:" + token;
    }
}
