/* An app as small as it can be. Its code is in the documents, between the marks, and is tested. */
package example

import io.sdktokenbroker.AccountListener
import io.sdktokenbroker.BrokerError
import io.sdktokenbroker.BrokerError.Kind
import io.sdktokenbroker.CloudShareDirectory
import io.sdktokenbroker.SdkFailure
import io.sdktokenbroker.SdkTokenClient
import io.sdktokenbroker.SessionSource
import io.sdktokenbroker.TokenStorage
import io.sdktokenbroker.gwiot.BrokerHostAccountService
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.launch
import sdkstub.GWIoT

// docs: app
/** The app's own login to the customer's cloud. */
interface OwnLogin {
    val userId: String?
    suspend fun session(): String
    suspend fun renewedSession(refused: String): String
    fun end()
}

interface Screen {
    fun showLogin()
    fun showKickedOut()
    fun showError(code: String)
}

class CameraApp(
    private val ownLogin: OwnLogin,
    private val screen: Screen,
    private val appScope: CoroutineScope,
    storage: TokenStorage,
    brokerUrl: String,
    cloudUrl: String,
) : AccountListener {
    private val sessions = object : SessionSource {
        override suspend fun session() = ownLogin.session()
        override suspend fun renewedSession(refused: String) = ownLogin.renewedSession(refused)
    }
    private val client = SdkTokenClient(
        brokerUrl, // https://broker.example
        uniqueId = GWIoT.phoneUniqueId(),
        sessions,
        storage, // KeystoreTokenStorage(context)
    )
    private val service = BrokerHostAccountService(
        client,
        CloudShareDirectory(cloudUrl, client), // https://cloud.example
        listener = this,
        appScope,
    )

    fun onProcessStart() {
        GWIoT.registerHostAccountService(service)
        GWIoT.accountEvent.observeForever { event -> service.onAccountEvent(event) }
        appScope.launch { ownLogin.userId?.let { logIn(it) } }
    }

    suspend fun logIn(userId: String) {
        try {
            service.login(userId)
        } catch (error: BrokerError) {
            show(error)
        } catch (error: SdkFailure) {
            show(error)
        }
    }

    private suspend fun show(error: Exception) {
        when {
            error !is BrokerError -> screen.showError("sdk")
            error.kind == Kind.LOGGED_OUT -> {} // a logout or another login shows its own screen
            error.kind == Kind.SESSION_NEEDED -> logOut() // another account may be the next to log in
            else -> screen.showError(error.code) // account_disabled, terminal_limit, network_unavailable, …
        }
    }

    /** The user has just logged in to your cloud. Its response contains the token already. */
    suspend fun onOwnLogin(userId: String, sdkToken: String?, sdkTokenEtag: String?) {
        try {
            client.useToken(userId, sdkToken, sdkTokenEtag)
        } catch (error: BrokerError) {
            // It contains none. The SDK's token comes from the broker.
        }
        logIn(userId)
    }

    override fun onKickedOut() = screen.showKickedOut() // with a button that calls logIn()

    override fun onLoginFailed(error: Exception) {
        appScope.launch { show(error) }
    }

    suspend fun logOut() {
        try {
            service.logout() // false without a network: your cloud can log the phone out
        } catch (error: SdkFailure) {
            screen.showError("sdk")
        } finally {
            ownLogin.end()
            screen.showLogin() // not before end(), which would end the next user's login
        }
    }
}
// docs end
