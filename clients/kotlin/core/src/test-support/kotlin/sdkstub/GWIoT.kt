/*
 * Stubs of the public signatures of the vendor's SDK, written for these tests after its API reference 1.7.5. The SDK
 * itself is closed. Nothing here is the vendor's code, and how the stub behaves is an assumption of the tests.
 */
package sdkstub

sealed class GWResult<T> {
    class Success<T>(val data: T?) : GWResult<T>()

    class Failure<T>(val err: GWError? = GWError()) : GWResult<T>() {
        constructor(msg: String, reason: Reason) : this(err = GWError(msg, reason))
        constructor(e: Throwable) : this(err = GWError(e.message ?: "Undefined error", Reason.Undefined))
    }
}

enum class Reason { Undefined }

class GWError(message: String = "Undefined error", val reason: Reason = Reason.Undefined) : Throwable(message)

data class UserC2CInfo(
    val accessId: String,
    val accessToken: String,
    val expireTime: String,
    val terminalId: String,
    val expend: String,
)

data class HostAccountInfo(val accessId: String, val nickName: String, val avatarUrl: String? = null)

data class User(val accessId: String)

interface IComponent

interface IHostAccountService : IComponent {
    suspend fun onRequestUserC2CInfo(): GWResult<UserC2CInfo>
    suspend fun onRequestAccountInfoByAccount(account: String): GWResult<HostAccountInfo>
    suspend fun onRequestAccountInfoByAccessId(accessIds: List<String>): GWResult<List<HostAccountInfo>>
}

sealed class AccountEvent {
    data object KickedOut : AccountEvent()
    data object AccessTokenExpired : AccountEvent()
    class AccountUnregistered(val bySelf: Boolean) : AccountEvent()
}

fun interface Observer<T> {
    fun onChanged(value: T)
}

open class LiveData<T>(@Volatile open var value: T?)

/** Has no past values: an observer gets only what comes later. */
class MutableLiveEvent<T> : LiveData<T>(null) {
    private val observers = mutableListOf<Observer<T>>()

    fun observeForever(observer: Observer<T>) {
        observers += observer
    }

    fun removeAllObservers() = observers.clear()

    fun postValue(value: T) = observers.forEach { it.onChanged(value) }
}

/** Keeps a login between two calls of [login] for the same user, and asks the service only if it has none. */
object GWIoT {
    private var service: IHostAccountService? = null
    private var cached: Pair<String, UserC2CInfo>? = null

    /** Plays the vendor's cloud: whether it accepts a token. */
    var vendorAccepts: (UserC2CInfo) -> Boolean = { true }

    /** The next logins fail with this, before the SDK asks for credentials. */
    var loginFailure: GWError? = null
    var logoutFailure: GWError? = null

    /** The number of calls of [login]. */
    @Volatile var logins = 0

    val isLogin = LiveData<Boolean>(false)
    val accountEvent = MutableLiveEvent<AccountEvent>()

    fun registerHostAccountService(service: IHostAccountService) {
        this.service = service
    }

    suspend fun login(hostUserId: String): GWResult<User> {
        logins += 1
        loginFailure?.let { return GWResult.Failure(err = it) }
        val info = cached?.takeIf { it.first == hostUserId }?.second ?: when (
            val answer = checkNotNull(service).onRequestUserC2CInfo()
        ) {
            is GWResult.Success -> checkNotNull(answer.data)
            is GWResult.Failure -> return GWResult.Failure(err = answer.err)
        }
        if (!vendorAccepts(info)) return GWResult.Failure("The token was refused", Reason.Undefined)
        cached = hostUserId to info
        isLogin.value = true
        return GWResult.Success(User(info.accessId))
    }

    suspend fun login2(c2c: UserC2CInfo): GWResult<User> = GWResult.Success(User(c2c.accessId))

    suspend fun logout(): GWResult<Unit> {
        logoutFailure?.let { return GWResult.Failure(err = it) }
        dropLogin()
        return GWResult.Success(Unit)
    }

    fun phoneUniqueId(): String = "phone-of-the-stub"

    /** The token of the present login, which the real SDK does not show. */
    fun token(): UserC2CInfo? = cached?.second

    /** Logs out, as the change log of 1.7.0 says of an expired token. */
    fun dropLogin() {
        cached = null
        isLogin.value = false
    }

    suspend fun accountByName(account: String) = checkNotNull(service).onRequestAccountInfoByAccount(account)

    suspend fun accountsByAccessId(ids: List<String>) = checkNotNull(service).onRequestAccountInfoByAccessId(ids)

    /** As if the process had started again. */
    fun reset() {
        service = null
        dropLogin()
        vendorAccepts = { true }
        loginFailure = null
        logins = 0
        logoutFailure = null
        accountEvent.removeAllObservers()
    }
}
