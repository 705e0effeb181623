package io.sdktokenbroker.gwiot

import io.sdktokenbroker.*
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import sdkstub.* // Replace this line with the imports of the vendor's SDK.

/**
 * Gives the vendor's SDK what it asks of the app, and does what its account events need. Register it before the
 * first [login], and pass every account event to [onAccountEvent].
 *
 * @param listener is called in [scope]
 * @param scope lives as long as the app
 * @param expirySettles how long the SDK gets to renew an expired token by itself
 */
class BrokerHostAccountService(
    client: TokenClient,
    private val directory: ShareDirectory,
    listener: AccountListener,
    scope: CoroutineScope,
    expirySettles: Duration = 5.seconds,
) : IHostAccountService {
    private val sdk = SdkLogin(client, Sdk, listener, scope, expirySettles)

    override suspend fun onRequestUserC2CInfo(): GWResult<UserC2CInfo> = answer {
        with(sdk.token()) { UserC2CInfo(accessId, accessToken, expireTime, terminalId, expend) }
    }

    override suspend fun onRequestAccountInfoByAccount(account: String): GWResult<HostAccountInfo> = answer {
        val found = directory.accountByName(account) ?: throw NoSuchElementException("There is no such account")
        found.toInfo()
    }

    override suspend fun onRequestAccountInfoByAccessId(accessIds: List<String>): GWResult<List<HostAccountInfo>> =
        answer { directory.accountsByAccessIds(accessIds).map { it.toInfo() } }

    /** See [SdkLogin.login]. */
    suspend fun login(hostUserId: String) = sdk.login(hostUserId)

    /** See [SdkLogin.logout]. */
    suspend fun logout(): Boolean = sdk.logout()

    fun onAccountEvent(event: AccountEvent) = when (event) {
        is AccountEvent.KickedOut -> sdk.onKickedOut()
        is AccountEvent.AccessTokenExpired -> sdk.onTokenExpired()
        is AccountEvent.AccountUnregistered -> Unit
    }

    private suspend fun <T> answer(ask: suspend () -> T): GWResult<T> = try {
        GWResult.Success(ask())
    } catch (error: Exception) {
        // Passes on the cancellation of the question.
        currentCoroutineContext().ensureActive()
        GWResult.Failure(error)
    }

    private fun HostAccount.toInfo() = HostAccountInfo(accessId, nickName, avatarUrl)

    private object Sdk : VendorSdk {
        override suspend fun login(hostUserId: String) = GWIoT.login(hostUserId).check()
        override suspend fun logout() = GWIoT.logout().check()
        override fun isLoggedIn() = GWIoT.isLogin.value == true

        private fun GWResult<*>.check() {
            if (this is GWResult.Failure) throw SdkFailure(err ?: GWError())
        }
    }
}
