package io.sdktokenbroker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import example.JavaCameraApp;
import io.sdktokenbroker.java.BlockingSessionSource;
import io.sdktokenbroker.java.BlockingShareDirectory;
import io.sdktokenbroker.java.Callback;
import io.sdktokenbroker.java.CallbackTokenClient;
import io.sdktokenbroker.java.Cancellable;
import io.sdktokenbroker.java.SdkTokenClientBuilder;
import io.sdktokenbroker.gwiot.CallbackHostAccountService;
import io.sdktokenbroker.support.LocalBroker;
import io.sdktokenbroker.support.TestAnswer;
import io.sdktokenbroker.support.TestCloud;
import io.sdktokenbroker.support.TestProxy;
import io.sdktokenbroker.support.TestSessions;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import kotlin.Unit;
import kotlin.coroutines.Continuation;
import kotlin.coroutines.CoroutineContext;
import kotlin.coroutines.EmptyCoroutineContext;
import kotlin.coroutines.intrinsics.IntrinsicsKt;
import org.jetbrains.annotations.NotNull;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import sdkstub.AccountEvent;
import sdkstub.GWIoT;
import sdkstub.GWResult;
import sdkstub.HostAccountInfo;

/** An app in Java alone, with the built broker and the vendor simulator. */
class JavaAppTest {
    private final LocalBroker broker = LocalBroker.Companion.getShared();
    private final TestSessions sessions = new TestSessions(broker);
    private final InMemoryTokenStorage storage = new InMemoryTokenStorage();
    private final TestProxy proxy = new TestProxy(broker.getPort());
    private final TestCloud cloud = new TestCloud(broker, session -> session.equals(sessions.getCurrent()));
    private final ExecutorService mainThread = Executors.newSingleThreadExecutor();
    private final BlockingQueue<String> shown = new LinkedBlockingQueue<>();
    private final List<Throwable> uncaught = new CopyOnWriteArrayList<>();
    private volatile String userId;

    private final BlockingSessionSource source = new BlockingSessionSource() {
        @Override protected String currentSession() { return sessions.getCurrent(); }
        @Override protected String newSession(String refused) {
            sessions.setCurrent(sessions.getNext().invoke());
            return sessions.getCurrent();
        }
    };

    @BeforeEach
    void collectUncaught() {
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> uncaught.add(error));
    }

    @AfterEach
    void close() {
        Thread.setDefaultUncaughtExceptionHandler(null);
        proxy.close();
        cloud.close();
        mainThread.shutdown();
    }

    /** A callback that a test can wait for. */
    private static final class Answer<T> implements Callback<T> {
        private final CompletableFuture<T> future = new CompletableFuture<>();

        @Override public void onSuccess(T result) { future.complete(result); }
        @Override public void onFailure(Exception error) { future.completeExceptionally(error); }

        T get() throws Exception { return future.get(60, TimeUnit.SECONDS); }

        Throwable failure() throws Exception {
            try {
                throw new AssertionError("no failure: " + get());
            } catch (ExecutionException error) {
                return error.getCause();
            }
        }
    }

    /** What a `suspend` function answers to the SDK. */
    private static final class SdkContinuation<T> implements Continuation<T> {
        private final CompletableFuture<Object> future = new CompletableFuture<>();

        @Override public @NotNull CoroutineContext getContext() { return EmptyCoroutineContext.INSTANCE; }
        @Override public void resumeWith(@NotNull Object result) { future.complete(result); }

        /** @param result what the function returned: its result, or that it answers later */
        Object await(Object result) throws Exception {
            return result == IntrinsicsKt.getCOROUTINE_SUSPENDED() ? future.get(60, TimeUnit.SECONDS) : result;
        }
    }

    private String url() {
        return "http://127.0.0.1:" + proxy.getPort();
    }

    private SdkTokenClientBuilder builder() {
        return new SdkTokenClientBuilder(url(), "phone-1", source, storage);
    }

    private CallbackTokenClient callbacks(SdkTokenClientBuilder builder) {
        return new CallbackTokenClient(builder.build(), mainThread);
    }

    private JavaCameraApp start() {
        GWIoT.INSTANCE.reset();
        GWIoT.INSTANCE.setVendorAccepts(info -> broker.vendorAccepts(info.getAccessToken()));
        JavaCameraApp.OwnLogin ownLogin = new JavaCameraApp.OwnLogin() {
            @Override public String userId() { return userId; }
            @Override public String session() { return sessions.getCurrent(); }
            @Override public String renewedSession(String refused) throws NoSession { throw new NoSession("The user must log in"); }
            @Override public void end() {
                userId = null;
                shown.add("logged out");
            }
        };
        JavaCameraApp.Screen screen = new JavaCameraApp.Screen() {
            @Override public void showCameras() { shown.add("cameras"); }
            @Override public void showLogin() { shown.add("login"); }
            @Override public void showKickedOut() { shown.add("kicked out"); }
            @Override public void showError(String code) { shown.add(code); }
        };
        JavaCameraApp app = new JavaCameraApp(
            ownLogin, screen, storage, new UrlConnectionTransport(), mainThread, url(), cloud.getUrl()
        );
        app.onProcessStart();
        return app;
    }

    private void assertShown(String... expected) throws Exception {
        for (String text : expected) assertEquals(text, shown.poll(60, TimeUnit.SECONDS));
    }

    /** On Android, each of them ends the app. */
    private void assertNothingUncaught() {
        assertEquals(Collections.emptyList(), uncaught);
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await(60, TimeUnit.SECONDS);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String tokenOfSdk() {
        return GWIoT.INSTANCE.token() == null ? null : GWIoT.INSTANCE.token().getAccessToken();
    }

    @Test
    void theWholeLifeOfAnAppInJava() throws Exception {
        JavaCameraApp app = start();
        TestAnswer handedIn = broker.internal(
            "/accounts/" + sessions.getAccount() + "/terminals/" + GWIoT.INSTANCE.phoneUniqueId() + "/sdk-token", null
        );
        userId = "alice";
        app.onOwnLogin("alice", handedIn.getBody(), handedIn.getEtag());
        assertShown("cameras");
        assertTrue(handedIn.getBody().contains(tokenOfSdk()));
        assertEquals(0, proxy.getRequests().size());

        // Kicked out, and the user wants to go on here.
        String first = tokenOfSdk();
        GWIoT.INSTANCE.getAccountEvent().postValue(AccountEvent.KickedOut.INSTANCE);
        assertShown("kicked out");
        app.logIn("alice");
        assertShown("cameras");
        assertNotEquals(first, tokenOfSdk());

        // The vendor refuses the next token that the SDK gets.
        String second = tokenOfSdk();
        GWIoT.INSTANCE.dropLogin();
        GWIoT.INSTANCE.setVendorAccepts(info -> !info.getAccessToken().equals(second));
        app.logIn("alice");
        assertShown("cameras");
        assertNotEquals(second, tokenOfSdk());

        // The next start finds the SDK's login gone, and the token expired.
        app = start();
        assertShown("cameras");
        GWIoT.INSTANCE.getAccountEvent().postValue(new AccountEvent.AccountUnregistered(true));

        app.logOut();
        assertShown("logged out", "login");
        assertNull(tokenOfSdk());
        assertEquals(0, broker.terminals(sessions.getAccount()));
    }

    @Test
    void anErrorOfTheBrokerReachesTheScreen() throws Exception {
        userId = "alice";
        proxy.disconnect();
        start();
        assertShown("network_unavailable");
        proxy.reconnect();
        sessions.setCurrent("ended");
        start();
        assertShown("logged out", "login");
    }

    @Test
    void theLoginScreenComesAfterTheOwnLogoutSoThatTheLogoutEndsNoLaterLogin() throws Exception {
        userId = "alice";
        sessions.setCurrent("ended");
        CountDownLatch released = new CountDownLatch(1);
        proxy.setBeforeForwarding(() -> {
            if (proxy.getRequests().size() > 1) await(released);
            return Unit.INSTANCE;
        });
        start();
        for (int i = 0; i < 2_000 && proxy.getRequests().size() < 2; i++) Thread.sleep(10);
        assertTrue(proxy.getRequests().get(1).startsWith("DELETE "));
        mainThread.submit(() -> { }).get(60, TimeUnit.SECONDS);
        assertTrue(shown.isEmpty(), shown.toString());
        released.countDown();
        assertShown("logged out", "login");
    }

    @Test
    void anOwnLoginWithoutATokenInItsResponseSucceeds() throws Exception {
        userId = "alice";
        JavaCameraApp app = start();
        assertShown("cameras");
        for (String text : new String[] { null, "", "{}" }) {
            GWIoT.INSTANCE.dropLogin();
            app.onOwnLogin("alice", text, null);
            assertShown("cameras");
        }
        assertNothingUncaught();
    }

    @Test
    void aCallWithoutACallbackNeverCrashesTheApp() throws Exception {
        AtomicInteger calls = new AtomicInteger();
        TokenStorage broken = new TokenStorage() {
            @Override public String get(@NotNull String key) {
                calls.incrementAndGet();
                throw new IllegalStateException("no storage");
            }
            @Override public void put(@NotNull String key, @NotNull String value) { throw new IllegalStateException(); }
            @Override public void remove(@NotNull String key) { throw new IllegalStateException(); }
        };
        CallbackTokenClient client = callbacks(new SdkTokenClientBuilder(url(), "phone-1", source, broken));
        client.tokenWasRefused();
        client.useToken("alice", "{}", null);
        Answer<Boolean> last = new Answer<>();
        client.logout(last);
        last.failure();
        assertEquals(1, calls.get());
        assertNothingUncaught();
    }

    @Test
    void anErrorOfTheSessionSourceReachesTheUncaughtExceptionHandlerAndARejectingExecutorDoesNot() throws Exception {
        mainThread.shutdown();
        Answer<Void> rejected = new Answer<>();
        callbacks(builder()).tokenWasRefused(rejected);
        BlockingSessionSource broken = new BlockingSessionSource() {
            @Override protected String currentSession() { throw new StackOverflowError("of the app"); }
            @Override protected String newSession(String refused) { return null; }
        };
        Answer<SdkToken> answer = new Answer<>();
        new CallbackTokenClient(new SdkTokenClientBuilder(url(), "phone-1", broken, storage).build(), Runnable::run).sdkToken("alice", answer);
        for (int i = 0; i < 2_000 && uncaught.isEmpty(); i++) Thread.sleep(10);
        assertEquals(1, uncaught.size());
        assertInstanceOf(StackOverflowError.class, uncaught.get(0));
        assertFalse(rejected.future.isDone() || answer.future.isDone());
    }

    @Test
    void nullInPlaceOfASessionIsTemporary() throws Exception {
        for (String first : new String[] { null, "ended" }) {
            BlockingSessionSource none = new BlockingSessionSource() {
                @Override protected String currentSession() { return first; }
                @Override protected String newSession(String refused) { return null; }
            };
            Answer<SdkToken> answer = new Answer<>();
            callbacks(new SdkTokenClientBuilder(url(), "phone-1", none, storage)).sdkToken("alice", answer);
            BrokerError error = assertInstanceOf(BrokerError.class, answer.failure());
            assertEquals(BrokerError.Kind.TEMPORARY, error.getKind());
            assertEquals(BrokerError.SESSION_UNAVAILABLE, error.getCode());
        }
    }

    @Test
    void aTransportInJavaThatAnswersNullIsANetworkWithoutAnAnswer() throws Exception {
        Answer<SdkToken> answer = new Answer<>();
        callbacks(builder().transport(request -> null)).sdkToken("alice", answer);
        assertEquals(BrokerError.NETWORK_UNAVAILABLE, assertInstanceOf(BrokerError.class, answer.failure()).getCode());
    }

    @Test
    void theClientHasCallbacksOnTheThreadOfTheApp() throws Exception {
        CallbackTokenClient client = callbacks(builder().app("default").regRegion("FR").totalDeadlineMillis(20_000)
            .attemptTimeoutMillis(5_000).transport(new UrlConnectionTransport()));
        CompletableFuture<Thread> thread = new CompletableFuture<>();
        mainThread.execute(() -> thread.complete(Thread.currentThread()));
        CompletableFuture<Thread> ofCallback = new CompletableFuture<>();
        sessions.setCurrent("ended");
        Answer<SdkToken> first = new Answer<>();
        client.sdkToken("alice", first);
        client.sdkToken("alice", new Callback<SdkToken>() {
            @Override public void onSuccess(SdkToken token) { ofCallback.complete(Thread.currentThread()); }
            @Override public void onFailure(Exception error) { ofCallback.completeExceptionally(error); }
        });
        assertSame(thread.get(), ofCallback.get(60, TimeUnit.SECONDS));

        Answer<Void> refused = new Answer<>();
        client.tokenWasRefused(refused);
        assertNull(refused.get());
        Answer<SdkToken> second = new Answer<>();
        client.sdkToken("alice", second);
        assertNotEquals(first.get().getAccessToken(), second.get().getAccessToken());

        Answer<Boolean> loggedOut = new Answer<>();
        client.logout(loggedOut);
        assertTrue(loggedOut.get());
    }

    @Test
    void anErrorReachesTheCallback() throws Exception {
        CallbackTokenClient client = callbacks(
            builder().sessionHeaders(session -> Collections.singletonMap("Cookie", "sid=" + session)));
        Answer<SdkToken> refused = new Answer<>();
        client.sdkToken("alice", refused);
        assertEquals("session_missing", assertInstanceOf(BrokerError.class, refused.failure()).getCode());
        for (String text : new String[] { null, "", "rubbish" }) {
            Answer<Void> rubbish = new Answer<>();
            client.useToken("alice", text, null, rubbish);
            assertEquals(BrokerError.UNEXPECTED_ANSWER, ((BrokerError) rubbish.failure()).getCode());
        }
    }

    @Test
    void aCancelledCallHasNoCallbackAndItsRequestContinuesForTheNextOne() throws Exception {
        CountDownLatch released = new CountDownLatch(1);
        proxy.setBeforeForwarding(() -> {
            await(released);
            return Unit.INSTANCE;
        });
        AtomicInteger answers = new AtomicInteger();
        CallbackTokenClient client = callbacks(builder());
        Cancellable call = client.sdkToken("alice", new Callback<SdkToken>() {
            @Override public void onSuccess(SdkToken token) { answers.incrementAndGet(); }
            @Override public void onFailure(Exception error) { answers.incrementAndGet(); }
        });
        for (int i = 0; i < 2_000 && proxy.getRequests().isEmpty(); i++) Thread.sleep(10);
        mainThread.submit(call::cancel).get(60, TimeUnit.SECONDS);
        Answer<SdkToken> next = new Answer<>();
        client.sdkToken("alice", next);
        released.countDown();
        next.get();
        assertEquals(1, proxy.getRequests().size());
        assertEquals(0, answers.get());
    }

    @Test
    void theSdkLearnsOfAccountsFromADirectoryInJava() throws Exception {
        BlockingShareDirectory directory = new BlockingShareDirectory() {
            @Override protected HostAccount findByName(String account) {
                return account.equals("bob") ? new HostAccount("7", "Bob", null) : null;
            }
            @Override protected List<HostAccount> findByAccessIds(List<String> accessIds) {
                return Collections.singletonList(new HostAccount(accessIds.get(0), "Bob", null));
            }
        };
        AccountListener listener = new AccountListener() {
            @Override public void onKickedOut() { }
            @Override public void onLoginFailed(Exception error) { }
        };
        CallbackHostAccountService service = new CallbackHostAccountService(callbacks(builder()), directory, listener);
        SdkContinuation<GWResult<HostAccountInfo>> byName = new SdkContinuation<>();
        Object bob = byName.await(service.onRequestAccountInfoByAccount("bob", byName));
        Object found = assertInstanceOf(GWResult.Success.class, bob).getData();
        assertEquals(new HostAccountInfo("7", "Bob", null), found);
        SdkContinuation<GWResult<HostAccountInfo>> unknown = new SdkContinuation<>();
        Object nobody = unknown.await(service.onRequestAccountInfoByAccount("nobody", unknown));
        assertInstanceOf(GWResult.Failure.class, nobody);
        SdkContinuation<GWResult<List<HostAccountInfo>>> byIds = new SdkContinuation<>();
        Object shared = byIds.await(service.onRequestAccountInfoByAccessId(Collections.singletonList("7"), byIds));
        Object list = assertInstanceOf(GWResult.Success.class, shared).getData();
        assertEquals(Collections.singletonList(found), list);
    }
}
