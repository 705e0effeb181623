/* An app in Java, as small as it can be. Its code is in the documents, between the marks, and is tested. */
package example;

import io.sdktokenbroker.AccountListener;
import io.sdktokenbroker.BrokerError;
import io.sdktokenbroker.CloudShareDirectory;
import io.sdktokenbroker.SdkTokenClient;
import io.sdktokenbroker.TokenStorage;
import io.sdktokenbroker.Transport;
import io.sdktokenbroker.gwiot.CallbackHostAccountService;
import io.sdktokenbroker.java.BlockingSessionSource;
import io.sdktokenbroker.java.Callback;
import io.sdktokenbroker.java.CallbackTokenClient;
import io.sdktokenbroker.java.SdkTokenClientBuilder;
import java.util.concurrent.Executor;
import sdkstub.GWIoT;

// docs: app
public final class JavaCameraApp implements AccountListener {
    /** The app's own login to the customer's cloud. */
    public interface OwnLogin {
        String userId();

        String session() throws Exception;

        String renewedSession(String refused) throws Exception;

        void end();
    }

    public interface Screen {
        void showCameras();

        void showLogin();

        void showKickedOut();

        void showError(String code);
    }

    private final OwnLogin ownLogin;
    private final Screen screen;
    private final CallbackTokenClient client;
    private final CallbackHostAccountService service;

    public JavaCameraApp(
        OwnLogin ownLogin, Screen screen, TokenStorage storage, Transport transport, Executor mainExecutor,
        String brokerUrl, String cloudUrl
    ) {
        this.ownLogin = ownLogin;
        this.screen = screen;
        BlockingSessionSource sessions = new BlockingSessionSource() {
            @Override protected String currentSession() throws Exception { return ownLogin.session(); }
            @Override protected String newSession(String refused) throws Exception { return ownLogin.renewedSession(refused); }
        };
        String uniqueId = GWIoT.INSTANCE.phoneUniqueId();
        SdkTokenClient broker = new SdkTokenClientBuilder(brokerUrl, uniqueId, sessions, storage)
            .transport(transport) // for example new OkHttpTransport(okHttpClient)
            .build();
        client = new CallbackTokenClient(broker, mainExecutor); // ContextCompat.getMainExecutor(context)
        service = new CallbackHostAccountService(client, new CloudShareDirectory(cloudUrl, broker), this);
    }

    public void onProcessStart() {
        GWIoT.INSTANCE.registerHostAccountService(service);
        GWIoT.INSTANCE.getAccountEvent().observeForever(service::onAccountEvent);
        if (ownLogin.userId() != null) logIn(ownLogin.userId());
    }

    public void logIn(String userId) {
        service.login(userId, new Callback<Void>() {
            @Override public void onSuccess(Void nothing) { screen.showCameras(); }
            @Override public void onFailure(Exception error) { show(error); }
        });
    }

    private void show(Exception error) {
        if (!(error instanceof BrokerError)) { screen.showError("sdk"); return; }
        BrokerError refusal = (BrokerError) error;
        // A logout or another login is under way, and shows its own screen.
        if (refusal.getKind() == BrokerError.Kind.LOGGED_OUT) return;
        // Another account may be the next to log in.
        if (refusal.getKind() == BrokerError.Kind.SESSION_NEEDED) logOut();
        else screen.showError(refusal.getCode());
    }

    /** The user has just logged in to your cloud. If its response contains no token, the SDK's comes from the broker. */
    public void onOwnLogin(String userId, String sdkToken, String sdkTokenEtag) {
        client.useToken(userId, sdkToken, sdkTokenEtag);
        logIn(userId);
    }

    @Override public void onKickedOut() { screen.showKickedOut(); } // with a button that calls logIn()

    @Override public void onLoginFailed(Exception error) { show(error); }

    public void logOut() {
        service.logout(new Callback<Boolean>() {
            @Override public void onSuccess(Boolean confirmed) { end(); }
            // The SDK did not log out.
            @Override public void onFailure(Exception error) { end(); }

            // Not before the callback, which would end the next user's login.
            private void end() {
                ownLogin.end();
                screen.showLogin();
            }
        });
    }
}
// docs end
