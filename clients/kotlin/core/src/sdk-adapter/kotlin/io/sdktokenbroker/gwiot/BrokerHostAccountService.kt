package io.sdktokenbroker.gwiot

import io.sdktokenbroker.*
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import sdkstub.* // Replace this line with the imports of the vendor's SDK.

/** Tells the app about the SDK's account. The service calls these functions in its scope. */
interface AccountListener {
    /** Another phone has logged in. Say so, and log in again only if the user wants it. */
    fun onKickedOut()
    /** The SDK's token had expired, and [BrokerHostAccountService.login] failed. */
    fun onLoginFailed(error: Throwable)
}

/** The SDK failed for a reason of its own. */
class SdkFailure(val error: GWError) : Exception("The SDK failed: ${error.message}")

/**
 * Gives the vendor's SDK what it asks of the app, and does what its account events need. Register it before the
 * first [login], and pass every account event to [onAccountEvent].
 *
 * @param scope lives as long as the app
 * @param expirySettles how long the SDK gets to renew an expired token by itself
 */
class BrokerHostAccountService(
    private val client: SdkTokenClient,
    private val directory: ShareDirectory,
    private val listener: AccountListener,
    private val scope: CoroutineScope,
    private val expirySettles: Duration = 5.seconds,
) : IHostAccountService {
    /** The account of the last login. */
    @Volatile private var hostUserId: String? = null
    /** Since a logout, or since the account was kicked out: nothing logs in without the user. */
    @Volatile private var isLoggedOut = false
    /** The answer to the SDK's last question for a token, since the last login began. */
    @Volatile private var lastToken: Result<SdkToken>? = null

    override suspend fun onRequestUserC2CInfo(): GWResult<UserC2CInfo> =
        ask { if (isLoggedOut) throw SdkFailure(GWError("Nobody is logged in")) else client.sdkToken() }
            .also { lastToken = it }
            .map { UserC2CInfo(it.accessId, it.accessToken, it.expireTime, it.terminalId, it.expend) }
            .toGWResult()

    override suspend fun onRequestAccountInfoByAccount(account: String): GWResult<HostAccountInfo> =
        ask { directory.accountByName(account) ?: throw NoSuchElementException("There is no such account") }
            .map { it.toInfo() }
            .toGWResult()

    override suspend fun onRequestAccountInfoByAccessId(accessIds: List<String>): GWResult<List<HostAccountInfo>> =
        ask { directory.accountsByAccessIds(accessIds) }
            .map { accounts -> accounts.map { it.toInfo() } }
            .toGWResult()

    /**
     * Logs the SDK in: call it after your own login, and at each start of the app. Before another account logs in, call
     * [logout]. If the login fails although the SDK has just got a token, the token counts as refused, and the SDK gets
     * one more try with another. After a [logout] there is no such try.
     * @param hostUserId your own id of the account, always the same for one account
     * @throws Exception why there was no token, for example a [BrokerError], or else [SdkFailure]
     */
    suspend fun login(hostUserId: String) {
        client.switchUser(hostUserId)
        this.hostUserId = hostUserId
        isLoggedOut = false
        lastToken = null
        var failure = failureOf(GWIoT.login(hostUserId)) ?: return
        if (lastToken?.isSuccess == true && !isLoggedOut && this.hostUserId == hostUserId) {
            client.tokenWasRefused()
            failure = failureOf(GWIoT.login(hostUserId)) ?: return
        }
        throw lastToken?.exceptionOrNull() ?: failure
    }

    /**
     * Logs out of the SDK and of the broker. Call it before your own logout, while the session is still good.
     * @return `false` if the broker's part is only stored, see [SdkTokenClient.logout]
     * @throws Exception [SdkFailure], or else what the client throws
     */
    suspend fun logout(): Boolean = coroutineScope {
        isLoggedOut = true
        val sdk = async { failureOf(GWIoT.logout()) }
        val broker = ask { client.logout() }
        sdk.await()?.let { throw it }
        broker.getOrThrow()
    }

    fun onAccountEvent(event: AccountEvent) {
        when (event) {
            is AccountEvent.KickedOut -> {
                isLoggedOut = true
                client.tokenWasRefused()
                // Not from the broker: with TERMINAL_POLICY=single, that would take the token from the other phone.
                scope.launch {
                    // It can fail, because the SDK may have logged out by itself.
                    GWIoT.logout()
                    listener.onKickedOut()
                }
            }
            is AccountEvent.AccessTokenExpired -> {
                client.tokenWasRefused()
                scope.launch { logInIfLoggedOut() }
            }
            is AccountEvent.AccountUnregistered -> Unit
        }
    }

    /**
     * The vendor's documents contradict each other about an expired token: the SDK renews it by itself, or it logs out.
     * In the first case there is nothing to do. In the second, the SDK has to log in again.
     */
    private suspend fun logInIfLoggedOut() {
        delay(expirySettles)
        val user = hostUserId?.takeUnless { isLoggedOut } ?: return
        if (GWIoT.isLogin.value != true) ask { login(user) }.onFailure(listener::onLoginFailed)
    }

    /** Passes on the cancellation of the caller, and no other exception. */
    private suspend fun <T> ask(block: suspend () -> T): Result<T> = runCatching { block() }
        .onFailure { currentCoroutineContext().ensureActive() }

    private fun <T> Result<T>.toGWResult(): GWResult<T> = fold({ GWResult.Success(it) }, { GWResult.Failure(it) })

    private fun HostAccount.toInfo() = HostAccountInfo(accessId, nickName, avatarUrl)

    private fun failureOf(result: GWResult<*>): Exception? =
        if (result is GWResult.Failure) SdkFailure(result.err ?: GWError()) else null
}
