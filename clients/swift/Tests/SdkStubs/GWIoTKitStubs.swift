import Foundation

// Stubs of the vendor's SDK, written from its public API reference (1.7.5), its change log and its guides. The SDK itself
// is closed: nothing here comes from it, and the real one was not run. Names follow the Swift form of the Kotlin SDK.

open class GWResult<T: AnyObject> {}

final class GWResultSuccess<T: AnyObject>: GWResult<T> {
    let data: T?
    init(data: T?) { self.data = data }
}

final class GWResultFailure<T: AnyObject>: GWResult<T> {
    let err: GWError
    init(err: GWError) { self.err = err }
}

struct GWError: LocalizedError {
    let message: String
    var errorDescription: String? { message }
}

/// Turns a result of the SDK into Swift's own.
func gwiot_swiftResult<T>(of result: GWResult<T>) -> Result<T?, any Error> {
    if let failure = result as? GWResultFailure<T> { return .failure(failure.err) }
    return .success((result as? GWResultSuccess<T>)?.data)
}

/// Answers a callback of the SDK.
func gwiot_cb<T>(_ completionHandler: (GWResult<T>?, (any Error)?) -> Void, _ value: T?, _ error: (any Error)?) {
    let failure = error.map { GWResultFailure<T>(err: GWError(message: $0.localizedDescription)) }
    completionHandler(failure ?? GWResultSuccess(data: value), nil)
}

final class UserC2CInfo: Sendable {
    let accessId: String, accessToken: String, expireTime: String, terminalId: String, expend: String

    init(accessId: String, accessToken: String, expireTime: String, terminalId: String, expend: String) {
        (self.accessId, self.accessToken, self.expireTime) = (accessId, accessToken, expireTime)
        (self.terminalId, self.expend) = (terminalId, expend)
    }
}

final class HostAccountInfo: Sendable {
    let accessId: String, nickName: String, avatarUrl: String?

    init(accessId: String, nickName: String, avatarUrl: String?) {
        (self.accessId, self.nickName, self.avatarUrl) = (accessId, nickName, avatarUrl)
    }
}

protocol IComponent: AnyObject {}

protocol IHostAccountService: IComponent {
    func onRequestUserC2CInfo(completionHandler: @escaping (GWResult<UserC2CInfo>?, (any Error)?) -> Void)
    func onRequestAccountInfoByAccount(
        account: String, completionHandler: @escaping (GWResult<HostAccountInfo>?, (any Error)?) -> Void)
    func onRequestAccountInfoByAccessId(
        accessIds: [String], completionHandler: @escaping (GWResult<NSArray>?, (any Error)?) -> Void)
}

class AccountEvent {
    final class KickedOut: AccountEvent {}
    final class AccessTokenExpired: AccountEvent {}
    final class AccountUnregistered: AccountEvent {}
}

enum AccountEventCase {
    case kickedOut(AccountEvent.KickedOut)
    case accessTokenExpired(AccountEvent.AccessTokenExpired)
    case accountUnregistered(AccountEvent.AccountUnregistered)
}

func onEnum(of event: AccountEvent) -> AccountEventCase {
    switch event {
    case let event as AccountEvent.KickedOut: .kickedOut(event)
    case let event as AccountEvent.AccessTokenExpired: .accessTokenExpired(event)
    default: .accountUnregistered(event as! AccountEvent.AccountUnregistered)
    }
}

final class KotlinBoolean {
    let boolValue: Bool
    init(bool: Bool) { boolValue = bool }
}

final class LiveData<T: AnyObject> {
    fileprivate(set) var value: T?
    init(_ value: T) { self.value = value }
}

final class MutableLiveEvent<T: AnyObject> {
    private var observers: [(T?) -> Void] = []
    func observe(weakRef _: AnyObject, observer: @escaping (T?) -> Void) { observers.append(observer) }
    func removeObservers() { observers = [] }
    func raise(_ event: T) { for observer in observers { observer(event) } }
}

final class User {}
final class KotlinUnit {}

/// The SDK as far as the adapter needs it. It asks for credentials only when it has no cached login, and logs in at the
/// vendor simulator: a token that the vendor does not know, or that the test lets it refuse, is a failed login.
@MainActor
final class GWIoT {
    static let shared = GWIoT()

    let isLogin = LiveData(KotlinBoolean(bool: false))
    let accountEvent = MutableLiveEvent<AccountEvent>()
    private(set) var service: (any IHostAccountService)?
    private(set) var credentials: UserC2CInfo?
    private var cachedUserId: String?

    /// For the tests: names the phone.
    var uniqueId = ""
    /// For the tests: what a login waits for before it asks.
    var beforeAsking: (_ hostUserId: String) async -> Void = { _ in }
    /// For the tests: whether the vendor accepts the token.
    var vendorAccepts: (String) async throws -> Bool = { _ in true }
    /// For the tests: the SDK's logouts wait for it.
    var beforeLogout: () async -> Void = {}
    /// For the tests: logouts throw it.
    var logoutError: (any Error)?
    private(set) var logins = 0
    private(set) var logouts = 0

    func reset() {
        accountEvent.removeObservers()
        (service, vendorAccepts, logins, logouts) = (nil, { _ in true }, 0, 0)
        (logoutError, beforeAsking, beforeLogout) = (nil, { _ in }, {})
        endLogin()
    }

    func phoneUniqueId() -> String { uniqueId }

    func registerHostAccountService(service: any IHostAccountService) { self.service = service }

    func login(hostUserId: String) async throws -> GWResult<User> {
        logins += 1
        if hostUserId == cachedUserId { return GWResultSuccess(data: User()) }
        do {
            await beforeAsking(hostUserId)
            let info = try await ask { self.service?.onRequestUserC2CInfo(completionHandler: $0) }
            guard let info, try await vendorAccepts(info.accessToken) else { throw GWError(message: "token refused") }
            (credentials, cachedUserId) = (info, hostUserId)
            isLogin.value = KotlinBoolean(bool: true)
            return GWResultSuccess(data: User())
        } catch {
            return GWResultFailure(err: GWError(message: error.localizedDescription))
        }
    }

    func logout() async throws -> GWResult<KotlinUnit> {
        logouts += 1
        await beforeLogout()
        if let logoutError { throw logoutError }
        endLogin()
        return GWResultSuccess(data: KotlinUnit())
    }

    /// For the tests: the SDK ends its own login, as one reading of the documents says of an expired token.
    func endLogin() {
        (credentials, cachedUserId) = (nil, nil)
        isLogin.value = KotlinBoolean(bool: false)
    }

    /// For the tests: the two questions of sharing by account.
    func findPerson(account: String) async throws -> HostAccountInfo? {
        try await ask { self.service?.onRequestAccountInfoByAccount(account: account, completionHandler: $0) }
    }

    func people(accessIds: [String]) async throws -> [HostAccountInfo] {
        let list = try await ask { self.service?.onRequestAccountInfoByAccessId(accessIds: accessIds, completionHandler: $0) }
        return list as? [HostAccountInfo] ?? []
    }

    private func ask<T>(_ call: (@escaping (GWResult<T>?, (any Error)?) -> Void) -> Void) async throws -> T? {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T?, any Error>) in
            call { result, error in
                nonisolated(unsafe) let answer = result.map { gwiot_swiftResult(of: $0) } ?? .failure(error ?? GWError(message: ""))
                continuation.resume(with: answer)
            }
        }
    }
}
