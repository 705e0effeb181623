import Foundation
import SdkTokenBroker

#if canImport(GWIoTKit)
    import GWIoTKit
#endif

/// Connects the vendor's SDK with the broker. Copy this file into the app: the package cannot contain it, because the SDK
/// is not public. Keep one instance.
@MainActor
final class BrokerHostAccountService: IHostAccountService {
    enum Event {
        /// Another phone has taken the account over, and the SDK is logged out. `login` takes it back: let the user decide.
        case kickedOut
        /// The token had expired, and the SDK could not log in again.
        case loginFailed(any Error)
    }

    private let client: SdkTokenClient
    private let directory: any ShareDirectory
    private let expiryGrace: TimeInterval
    private let onEvent: @MainActor (Event) -> Void
    /// The account of the last login.
    private var hostUserId: String?
    /// A logout, being kicked out and the login of another account begin the next epoch. That ends the logins before.
    private var epoch = 0
    /// The epoch of the last login that has called the SDK. The SDK does not say to which login its question belongs.
    private var sdkEpoch = 0
    /// The number of that login. When the next one calls the SDK, it ends this one.
    private var sdkLogin = 0
    /// Whether that login is in the SDK. The next one waits, so that it does not get the questions of the login before.
    private var isSdkBusy = false
    /// The result for all callers of `login` that wait for that login. If it is `nil`, the next of them calls the SDK.
    private var sdkResult: Result<Void, any Error>?
    /// What the SDK got from this class during the current login.
    private var handedOut: Result<SdkToken, any Error>?
    /// The SDK's logouts that no login has waited for. One that it ended after a later login would undo that login.
    private var sdkLogouts: Set<UUID> = []
    private static let loggedOut = BrokerError(kind: .sessionNeeded, code: BrokerError.Code.loggedOut)

    /// - Parameter expiryGrace: seconds in which the SDK may renew an expired token itself.
    init(
        client: SdkTokenClient, directory: any ShareDirectory, expiryGrace: TimeInterval = 5,
        onEvent: @escaping @MainActor (Event) -> Void
    ) {
        (self.client, self.directory, self.expiryGrace, self.onEvent) = (client, directory, expiryGrace, onEvent)
    }

    /// Registers with the SDK, and finishes a logout that did not reach the broker. Call it once, when the app starts.
    func start() {
        GWIoT.shared.registerHostAccountService(service: self)
        GWIoT.shared.accountEvent.observe(weakRef: self) { [weak self] event in
            // Compiles whether the SDK declares the event optional or not.
            guard let event = Optional(event) as? AccountEvent else { return }
            switch onEnum(of: event) {
            case .kickedOut: Task { [weak self] in await self?.wasKickedOut() }
            case .accessTokenExpired: Task { [weak self] in await self?.tokenHasExpired() }
            default: break
            }
        }
        Task { await client.finishLogout() }
    }

    /// Logs the SDK in: after the app's own login, and at each start that finds somebody logged in. Before another account
    /// logs in, call `logout()`. A login waits until the SDK has ended the login before and its logouts, for the client's
    /// total deadline (30 s) at most. Then it ends that login, and calls the SDK. If the login before was for the same
    /// account and has ended by then, both have the same result.
    /// - Parameter hostUserId: the app's own id of the account, always the same for one account.
    /// - Throws: the `BrokerError` if the SDK got no token, `logged_out` if a logout or another login has ended this
    ///   one, else the SDK's error. If the SDK is logged in by then, it is logged out again.
    func login(hostUserId: String) async throws {
        if hostUserId != self.hostUserId { epoch += 1 }
        self.hostUserId = hostUserId
        // The result of a login that is over by now is not one for this login.
        let (ownEpoch, over) = (epoch, isSdkBusy ? nil : sdkLogin)
        try await client.switchUser(to: hostUserId)
        try await waitForTheLoginBefore()
        guard ownEpoch == epoch else { throw Self.loggedOut }
        // However often the user taps, a broker or an SDK that fails is asked once.
        if let sdkResult, sdkEpoch == epoch, sdkLogin != over { return try sdkResult.get() }
        let ownLogin = sdkLogin + 1
        (sdkEpoch, sdkLogin, isSdkBusy, sdkResult) = (ownEpoch, ownLogin, true, nil)
        defer { if ownLogin == sdkLogin { isSdkBusy = false } }
        do {
            try await logIn(hostUserId, ownLogin: ownLogin)
            if ownLogin == sdkLogin { sdkResult = .success(()) }
        } catch {
            if ownLogin == sdkLogin, !Task.isCancelled { sdkResult = .failure(error) }
            throw error
        }
    }

    private func logIn(_ hostUserId: String, ownLogin: Int) async throws {
        for isRepeated in [false, true] {
            try ensureIsCurrent(ownLogin)
            handedOut = nil
            do {
                _ = try gwiot_swiftResult(of: try await GWIoT.shared.login(hostUserId: hostUserId)).get()
                // The SDK may have ended the logout before this login. A later login has ended this one by its number.
                if ownLogin == sdkLogin, sdkEpoch != epoch { _ = await logOutOfSdk().result }
                try ensureIsCurrent(ownLogin)
                return
            } catch {
                try Task.checkCancellation()
                try ensureIsCurrent(ownLogin)
                if case .failure(let reason) = handedOut { throw reason }
                // The SDK failed with its own login, or twice with a new token.
                guard handedOut != nil, !isRepeated else { throw error }
                try await client.tokenWasRefused()
            }
        }
    }

    /// An SDK that never answers must not block all later logins. So the wait for each login ends after the client's
    /// total deadline. A question that the SDK first asks for it after that counts as one of the next login.
    private func waitForTheLoginBefore() async throws {
        var (before, endsAt) = (sdkLogin, DispatchTime.now() + client.totalDeadline)
        // A logout that begins later ends this login.
        let logouts = sdkLogouts
        while isSdkBusy || !sdkLogouts.isDisjoint(with: logouts), DispatchTime.now() < endsAt {
            try await Task.sleep(nanoseconds: 50_000_000)
            if before != sdkLogin { (before, endsAt) = (sdkLogin, DispatchTime.now() + client.totalDeadline) }
        }
        sdkLogouts.subtract(logouts)
    }

    private func ensureIsCurrent(_ login: Int) throws {
        guard login == sdkLogin, sdkEpoch == epoch else { throw Self.loggedOut }
    }

    /// Logs out of the broker and the SDK. Call it before the app's own logout. Without network the broker is told later.
    /// - Throws: the SDK's error, or the storage's if the token or the logout is not stored as it should be. Not the broker's:
    ///   if it refuses, or there is no session, nothing is left to do there.
    func logout() async throws {
        epoch += 1
        // The SDK does not wait for the broker.
        let sdk = logOutOfSdk()
        // No task of its own: the call takes its place in the client's order before a login that the app calls later.
        var failure: (any Error)?
        do { try await client.logout() } catch { failure = error is BrokerError ? nil : error }
        try await sdk.value
        if let failure { throw failure }
    }

    private func wasKickedOut() async {
        epoch += 1
        try? await client.tokenWasRefused()
        // Ends a login that the SDK may still have. No logout at the broker: the other phone may share its token.
        _ = await logOutOfSdk().result
        onEvent(.kickedOut)
    }

    private func logOutOfSdk() -> Task<Void, any Error> {
        let id = UUID()
        sdkLogouts.insert(id)
        return Task {
            defer { sdkLogouts.remove(id) }
            _ = try gwiot_swiftResult(of: try await GWIoT.shared.logout()).get()
        }
    }

    /// The SDK's documents contradict each other: it renews an expired token itself, or it logs out. Both work here.
    private func tokenHasExpired() async {
        try? await client.tokenWasRefused()
        try? await Task.sleep(nanoseconds: UInt64(expiryGrace * 1e9))
        guard let hostUserId, sdkEpoch == epoch, GWIoT.shared.isLogin.value?.boolValue != true else { return }
        do { try await login(hostUserId: hostUserId) } catch { onEvent(.loginFailed(error)) }
    }

    /// After a logout, the SDK gets no token before the next login.
    private func token() async throws -> SdkToken {
        let login = sdkLogin
        try ensureIsCurrent(login)
        let result: Result<SdkToken, any Error>
        do { result = .success(try await client.sdkToken(of: hostUserId)) } catch { result = .failure(error) }
        try ensureIsCurrent(login)
        handedOut = result
        return try result.get()
    }

    // The SDK calls these three. A Swift error becomes `GWResult.Failure`.

    nonisolated func onRequestUserC2CInfo(completionHandler: @escaping (GWResult<UserC2CInfo>?, (any Error)?) -> Void) {
        answer(completionHandler) { [self] in
            let token = try await token()
            return UserC2CInfo(
                accessId: token.accessId, accessToken: token.accessToken, expireTime: token.expireTime,
                terminalId: token.terminalId, expend: token.expend)
        }
    }

    nonisolated func onRequestAccountInfoByAccount(
        account: String, completionHandler: @escaping (GWResult<HostAccountInfo>?, (any Error)?) -> Void
    ) {
        answer(completionHandler) { [directory] in
            guard let found = try await directory.account(byName: account) else { throw AccountNotFound() }
            return found.info
        }
    }

    nonisolated func onRequestAccountInfoByAccessId(
        accessIds: [String], completionHandler: @escaping (GWResult<NSArray>?, (any Error)?) -> Void
    ) {
        answer(completionHandler) { [directory] in
            try await directory.accounts(byAccessIds: accessIds).map(\.info) as NSArray
        }
    }

    private nonisolated func answer<T: AnyObject>(
        _ handler: @escaping (GWResult<T>?, (any Error)?) -> Void,
        with operation: @escaping @MainActor @Sendable () async throws -> T
    ) {
        // The SDK takes the answer on any thread.
        nonisolated(unsafe) let handler = handler
        Task { @MainActor in
            do {
                let value = try await operation()
                gwiot_cb(handler, value, nil)
            } catch { gwiot_cb(handler, nil, error) }
        }
    }
}

// `nonisolated`: the file also compiles in a target whose default isolation is the main actor, as that of a new app is.

private struct AccountNotFound: LocalizedError {
    nonisolated var errorDescription: String? { "There is no such account" }
}

extension HostAccount {
    fileprivate nonisolated var info: HostAccountInfo {
        HostAccountInfo(accessId: accessId, nickName: nickName, avatarUrl: avatarUrl)
    }
}
