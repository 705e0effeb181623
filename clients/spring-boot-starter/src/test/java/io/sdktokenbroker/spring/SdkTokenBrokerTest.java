package io.sdktokenbroker.spring;

import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import io.sdktokenbroker.spring.support.LocalBroker;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

/** The calls, with the built broker and the vendor simulator. */
class SdkTokenBrokerTest {
    private final LocalBroker local = LocalBroker.shared();
    private final SdkTokenBroker broker = Clients.of(local.url(), LocalBroker.KEY).forApp("ios");
    private final String account = LocalBroker.newAccount();

    @Test
    void sdkTokenReturnsATokenThatTheVendorAccepts() {
        SdkToken token = broker.sdkToken(account, "phone-1", "DE");
        assertThat(token.values()).containsOnlyKeys(
                "accessId", "accessToken", "expireTime", "terminalId", "expand", "expend");
        assertThat(local.vendorAccepts(token.values().get("accessToken"))).isTrue();
        assertThat(token.values().get("expend")).isEqualTo("{\"area\":\"de\",\"regRegion\":\"DE\"}");
        assertThat(token.etag()).matches("\"[^\"]+\"");
        assertThat(broker.sdkToken(account, "phone-1", null)).isEqualTo(token);
        assertThat(local.vendorLogins(account)).isEqualTo(1);
    }

    @Test
    void theTextOfATokenDoesNotContainIt() {
        SdkToken token = broker.sdkToken(account, "phone-1", "DE");
        assertThat(token.toString()).contains(token.values().get("expireTime"))
                .doesNotContain(token.values().get("accessToken"), token.values().get("accessId"), token.etag());
    }

    private Account loggedInEverywhere() {
        broker.sdkToken(account, "phone-1", "DE");
        broker.sdkToken(account, "phone-2", "DE");
        broker.forApp("android").sdkToken(account, "phone-1", "DE");
        return broker.account(account).orElseThrow();
    }

    @Test
    void logOutRemovesTheTokenOfOnePhoneAndOneApp() {
        loggedInEverywhere();
        broker.logOut(account, "phone-1");
        broker.logOut(account, "phone-1");
        assertThat(broker.account(account).orElseThrow().terminals())
                .extracting(Account.Terminal::app, Account.Terminal::uniqueId)
                .containsExactly(tuple("android", "phone-1"), tuple("ios", "phone-2"));
    }

    @Test
    void logOutWithoutAnAppRemovesTheTokensOfAllApps() {
        broker.sdkToken(account, "phone-1", "DE");
        broker.forApp("android").sdkToken(account, "phone-1", "DE");
        broker.forApp(null).logOut(account, "phone-1");
        assertThat(broker.account(account).orElseThrow().terminals()).isEmpty();
    }

    @Test
    void logOutEverywhereRemovesTheTokensOfAllPhonesAndAppsAndKeepsTheAccount() {
        Account before = loggedInEverywhere();
        broker.logOutEverywhere(account);
        broker.logOutEverywhere(account);
        assertThat(broker.account(account)).contains(new Account(before.accessId(), before.region(), List.of()));
        assertThat(broker.sdkToken(account, "phone-1", null).values()).containsEntry("accessId", before.accessId());
    }

    @Test
    void eraseAccountNowRemovesTheAccount() {
        broker.sdkToken(account, "phone-1", "DE");
        broker.eraseAccountNow(account);
        assertThat(broker.account(account)).isEmpty();
        assertThat(local.accountStatus(account)).isEqualTo(404);
    }

    @Test
    void accessIdIsThatOfTheTokenAndCreatesAnAccountWithoutAPhone() {
        String accessId = broker.accessId(account, "FR");
        Account known = broker.account(account).orElseThrow();
        assertThat(known).isEqualTo(new Account(accessId, "FR", List.of()));
        assertThat(broker.sdkToken(account, "phone-1", "FR").values()).containsEntry("accessId", accessId);
    }

    @Test
    void unionIdsLeavesOutWhatTheBrokerDoesNotKnow() {
        String accessId = broker.accessId(account, "DE");
        // More than the broker accepts in one request.
        List<String> many = Stream.concat(IntStream.range(0, 2_000).mapToObj(number -> "unknown-" + number),
                Stream.of(accessId, accessId)).toList();
        assertThat(broker.unionIds(many)).isEqualTo(Map.of(accessId, account));
        assertThat(broker.unionIds(List.of())).isEmpty();
    }

    @Test
    void accountTellsWhenATokenWasIssuedAndExpires() {
        broker.sdkToken(account, "phone-1", "DE");
        Account.Terminal terminal = broker.account(account).orElseThrow().terminals().get(0);
        assertThat(terminal.issuedAt()).isBefore(terminal.expiresAt());
    }

    @Test
    void idsMayHaveAnyCharacters() {
        String strange = "用户 /?#%+" + account;
        SdkToken token = broker.sdkToken(strange, "a/b?c#%+~", "DE");
        String accessId = token.values().get("accessId");
        assertThat(broker.unionIds(List.of(accessId, "\"\\\n用户😀"))).containsValue(strange);
        assertThat(broker.account(strange).orElseThrow().terminals().get(0).uniqueId()).isEqualTo("a/b?c#%+~");
        assertThat(local.vendorLogins(strange)).isEqualTo(1);
    }

    @Test
    void aValueThatTheBrokerCanOnlyRefuseIsNotSentAndIsNotInTheMessage() {
        for (String wrong : new String[] {null, "", "broken-\ud800", "x".repeat(129)}) {
            assertInvalid("unionId", () -> broker.eraseAccountNow(wrong));
        }
        for (String wrong : new String[] {"", ".", ".."}) {
            assertInvalid("uniqueId", () -> broker.logOut(account, wrong));
        }
        assertInvalid("country", () -> broker.sdkToken(account, "phone-1", ""));
        assertInvalid("app", () -> broker.forApp("").sdkToken(account, "phone-1", "DE"));
    }

    private static void assertInvalid(String name, ThrowingCallable call) {
        assertThatThrownBy(call).isInstanceOfSatisfying(BrokerError.class, error -> {
            assertThat(error).hasMessageStartingWith("request_invalid, " + name + " must have")
                    .hasMessageNotContaining("broken");
            assertThat(error.code()).isEqualTo("request_invalid");
            assertThat(error.status()).isZero();
            assertThat(error.retryable()).isFalse();
        });
    }
}
