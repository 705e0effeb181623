package io.sdktokenbroker.gwiot;

import io.sdktokenbroker.AccountListener;
import io.sdktokenbroker.HostAccount;
import io.sdktokenbroker.SdkFailure;
import io.sdktokenbroker.SdkLogin;
import io.sdktokenbroker.ShareDirectory;
import io.sdktokenbroker.VendorSdk;
import io.sdktokenbroker.java.Callback;
import io.sdktokenbroker.java.CallbackTokenClient;
import io.sdktokenbroker.java.Cancellable;
import io.sdktokenbroker.java.Suspending;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import kotlin.Unit;
import kotlin.coroutines.Continuation;
// Replace these lines with the imports of the vendor's SDK.
import sdkstub.AccountEvent;
import sdkstub.GWError;
import sdkstub.GWIoT;
import sdkstub.GWResult;
import sdkstub.HostAccountInfo;
import sdkstub.IHostAccountService;
import sdkstub.User;
import sdkstub.UserC2CInfo;

/**
 * Gives the vendor's SDK what it asks of the app, and does what its account events need, for an app in Java. Register
 * it before the first {@link #login}, and pass every account event to {@link #onAccountEvent}.
 */
public final class CallbackHostAccountService implements IHostAccountService {
    private final CallbackTokenClient client;
    private final ShareDirectory directory;
    private final SdkLogin sdk;

    /** @param listener is called on the executor of the client */
    public CallbackHostAccountService(CallbackTokenClient client, ShareDirectory directory, AccountListener listener) {
        this.client = client;
        this.directory = directory;
        sdk = client.sdkLogin(new Sdk(), listener);
    }

    /** Logs the SDK in: see {@link SdkLogin#login}. */
    public Cancellable login(String hostUserId, Callback<Void> callback) {
        return client.call(callback, (Continuation<Unit> next) -> sdk.login(hostUserId, next), done -> null);
    }

    /** Logs out of the SDK and of the broker: see {@link SdkLogin#logout}. The result is whether the broker confirmed it. */
    public Cancellable logout(Callback<Boolean> callback) {
        return client.call(callback, sdk::logout, confirmed -> confirmed);
    }

    public void onAccountEvent(AccountEvent event) {
        if (event instanceof AccountEvent.KickedOut) sdk.onKickedOut();
        if (event instanceof AccountEvent.AccessTokenExpired) sdk.onTokenExpired();
    }

    @Override
    public Object onRequestUserC2CInfo(Continuation<? super GWResult<UserC2CInfo>> continuation) {
        return Suspending.map(continuation, sdk::token, token -> new GWResult.Success<>(new UserC2CInfo(
            token.getAccessId(), token.getAccessToken(), token.getExpireTime(), token.getTerminalId(), token.getExpend()
        )), error -> new GWResult.Failure<>(error));
    }

    @Override
    public Object onRequestAccountInfoByAccount(
        String account, Continuation<? super GWResult<HostAccountInfo>> continuation
    ) {
        return Suspending.map(continuation, (Continuation<HostAccount> next) -> directory.accountByName(account, next), found -> {
            if (found == null) throw new NoSuchElementException("There is no such account");
            return new GWResult.Success<>(info(found));
        }, error -> new GWResult.Failure<>(error));
    }

    @Override
    public Object onRequestAccountInfoByAccessId(
        List<String> accessIds, Continuation<? super GWResult<List<HostAccountInfo>>> continuation
    ) {
        return Suspending.map(continuation, (Continuation<List<HostAccount>> next) -> directory.accountsByAccessIds(accessIds, next), found -> {
            List<HostAccountInfo> infos = new ArrayList<>();
            for (HostAccount account : found) infos.add(info(account));
            return new GWResult.Success<>(infos);
        }, error -> new GWResult.Failure<>(error));
    }

    private static HostAccountInfo info(HostAccount account) {
        return new HostAccountInfo(account.getAccessId(), account.getNickName(), account.getAvatarUrl());
    }

    private static final class Sdk implements VendorSdk {
        @Override
        public Object login(String hostUserId, Continuation<? super Unit> continuation) {
            return Suspending.map(continuation, (Continuation<GWResult<User>> next) -> GWIoT.INSTANCE.login(hostUserId, next), Sdk::check);
        }

        @Override
        public Object logout(Continuation<? super Unit> continuation) {
            return Suspending.map(continuation, (Continuation<GWResult<Unit>> next) -> GWIoT.INSTANCE.logout(next), Sdk::check);
        }

        @Override
        public boolean isLoggedIn() {
            return Boolean.TRUE.equals(GWIoT.INSTANCE.isLogin().getValue());
        }

        private static Unit check(GWResult<?> result) throws SdkFailure {
            if (!(result instanceof GWResult.Failure)) return Unit.INSTANCE;
            GWError error = ((GWResult.Failure<?>) result).getErr();
            throw new SdkFailure(error != null ? error : new IllegalStateException("no reason"));
        }
    }
}
