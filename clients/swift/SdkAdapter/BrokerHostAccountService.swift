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

    /// One login, and all callers that wait for it.
    @MainActor
    private final class Login {
        let hostUserId: String
        let startedAt = DispatchTime.now()
        /// `nil` when it has ended.
        var running: Task<Void, any Error>?
        /// What the SDK got from this class.
        var handedOut: Result<SdkToken, any Error>?
        init(_ hostUserId: String) { self.hostUserId = hostUserId }
    }

    private let client: any TokenClient
    private let directory: any ShareDirectory
    private let expiryGrace: TimeInterval
    private let sdkTimeout: TimeInterval
    private let onEvent: @MainActor (Event) -> Void
    /// `nil` after a logout and after being kicked out. That, and a later login, end the logins before.
    private var latest: Login?
    /// The last login that has called the SDK. The SDK does not say to which login its question belongs.
    private var inSdk: Login?
    /// The beginnings of the SDK's logins and logouts that have not ended.
    private var sdkCalls: [UUID: DispatchTime] = [:]

    /// - Parameters:
    ///   - expiryGrace: seconds in which the SDK may renew an expired token itself.
    ///   - sdkTimeout: seconds after which a login no longer waits for an earlier call of the SDK.
    init(
        client: any TokenClient, directory: any ShareDirectory, expiryGrace: TimeInterval = 5, sdkTimeout: TimeInterval = 30,
        onEvent: @escaping @MainActor (Event) -> Void
    ) {
        (self.client, self.directory, self.onEvent) = (client, directory, onEvent)
        (self.expiryGrace, self.sdkTimeout) = (expiryGrace, sdkTimeout)
    }

    /// Registers with the SDK. Call it once, when the app starts.
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
    }

    /// Logs the SDK in: after the app's own login, and at each start that finds somebody logged in. Before another account
    /// logs in, call `logout()`. Callers for one account at the same time share one login. A login waits for earlier
    /// calls of the SDK, for `sdkTimeout` at most. A caller that is cancelled does not stop it.
    /// - Parameter hostUserId: the app's own id of the account, always the same for one account.
    /// - Throws: the `BrokerError` if the SDK got no token, `logged_out` if a logout or another login has ended this
    ///   one, else the SDK's error. If the SDK is logged in by then, it is logged out again.
    func login(hostUserId: String) async throws {
        if let latest, latest.hostUserId == hostUserId, let running = latest.running, isRecent(latest.startedAt) {
            return try await running.value
        }
        let login = Login(hostUserId)
        latest = login
        let running = Task {
            defer { login.running = nil }
            try await logIn(login)
        }
        login.running = running
        try await running.value
    }

    private func logIn(_ login: Login) async throws {
        while latest === login, sdkCalls.values.contains(where: { isRecent($0) }) { try await Task.sleep(nanoseconds: 50_000_000) }
        try ensureIsLatest(login)
        inSdk = login
        let call = UUID()
        sdkCalls[call] = .now()
        defer { sdkCalls[call] = nil }
        for isRepeated in [false, true] {
            login.handedOut = nil
            do {
                _ = try gwiot_swiftResult(of: try await GWIoT.shared.login(hostUserId: login.hostUserId)).get()
                // The SDK may have ended a logout before this login. A later login replaces it in the SDK.
                if latest !== login, inSdk === login { _ = await logOutOfSdk().result }
                try ensureIsLatest(login)
                return
            } catch {
                try ensureIsLatest(login)
                if case .failure(let reason) = login.handedOut { throw reason }
                // The SDK failed with its own login, or twice with a new token.
                guard login.handedOut != nil, !isRepeated else { throw error }
                try await client.tokenWasRefused()
                try ensureIsLatest(login)
            }
        }
    }

    /// An SDK that never answers must not block all later logins.
    private func isRecent(_ time: DispatchTime) -> Bool { time + sdkTimeout > .now() }

    @discardableResult
    private func ensureIsLatest(_ login: Login?) throws -> Login {
        guard let login, login === latest else { throw BrokerError(kind: .loggedOut, code: BrokerError.Code.loggedOut) }
        return login
    }

    /// Logs out of the broker and the SDK. Call it before the app's own logout.
    /// - Throws: the SDK's error, or the storage's if that still holds the token. If the broker is not reached, your cloud
    ///   can log the phone out.
    func logout() async throws {
        latest = nil
        // The SDK does not wait for the broker.
        let sdk = logOutOfSdk()
        // No task of its own: the call takes its place in the client's order before a login that the app calls later.
        var failure: (any Error)?
        do { try await client.logout() } catch { failure = error }
        try await sdk.value
        if let failure { throw failure }
    }

    private func wasKickedOut() async {
        latest = nil
        try? await client.tokenWasRefused()
        // Ends a login that the SDK may still have. No logout at the broker: the other phone may share its token.
        _ = await logOutOfSdk().result
        onEvent(.kickedOut)
    }

    private func logOutOfSdk() -> Task<Void, any Error> {
        let call = UUID()
        sdkCalls[call] = .now()
        return Task {
            defer { sdkCalls[call] = nil }
            _ = try gwiot_swiftResult(of: try await GWIoT.shared.logout()).get()
        }
    }

    /// The SDK's documents contradict each other: it renews an expired token itself, or it logs out. Both work here.
    private func tokenHasExpired() async {
        try? await client.tokenWasRefused()
        try? await Task.sleep(nanoseconds: UInt64(expiryGrace * 1e9))
        guard let latest, latest === inSdk, GWIoT.shared.isLogin.value?.boolValue != true else { return }
        do { try await login(hostUserId: latest.hostUserId) } catch { onEvent(.loginFailed(error)) }
    }

    /// After a logout, the SDK gets no token before the next login.
    private func token() async throws -> SdkToken {
        let login = try ensureIsLatest(inSdk)
        let result: Result<SdkToken, any Error>
        do { result = .success(try await client.sdkToken(userId: login.hostUserId)) } catch { result = .failure(error) }
        try ensureIsLatest(login)
        login.handedOut = result
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
