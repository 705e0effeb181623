import Foundation

/// Gets the vendor's token from the broker, for the account that is signed in to the app. It knows nothing of the SDK.
/// Keep one instance: two with the same storage overwrite each other's values.
public actor SdkTokenClient {
    private let logoutUrl: URL
    private let tokenUrl: URL
    private let storage: any TokenStorage
    private let exchange: HTTPExchange
    private var waiters: [UUID: CheckedContinuation<SdkToken, any Error>] = [:]
    private var fetch: Task<Void, Never>?
    /// For a logout when the app cannot get a session. It is not in the storage.
    private var lastSession: String?
    private var lastLogout: Task<Void, any Error>?

    /// - Parameters:
    ///   - broker: base URL of the broker.
    ///   - uniqueId: names the phone: 1 to 128 visible ASCII characters, the same for as long as the app is installed.
    ///   - app: only if the broker serves several apps and the sessions do not name theirs.
    ///   - regRegion: country of the account (ISO 3166-1 alpha-2), only if neither the sessions nor the broker know it.
    ///   - totalDeadline: seconds for one call, with all its waits and attempts.
    ///   - attemptTimeout: seconds for one request.
    public init(
        broker: URL, uniqueId: String, app: String? = nil, regRegion: String? = nil, sessions: any SessionSource,
        storage: any TokenStorage, totalDeadline: TimeInterval = 30, attemptTimeout: TimeInterval = 10,
        transport: @escaping HTTPTransport = directTransport
    ) {
        logoutUrl = endpoint("sdk-token", of: broker, query: ["uniqueId": uniqueId, "app": app])
        tokenUrl = endpoint("sdk-token", of: broker, query: ["uniqueId": uniqueId, "app": app, "regRegion": regRegion])
        self.storage = storage
        exchange = HTTPExchange(
            sessions: sessions, transport: transport, totalDeadline: totalDeadline, attemptTimeout: attemptTimeout)
    }

    /// The token for the SDK. Concurrent callers share one request, which ends when the last of them is cancelled. A
    /// stored logout is finished first: later, it would delete the new token.
    /// - Throws: `BrokerError`, or `CancellationError` if the caller is cancelled.
    public func sdkToken() async throws -> SdkToken {
        let id = UUID()
        return try await withTaskCancellationHandler {
            try Task.checkCancellation()
            return try await withCheckedThrowingContinuation { continuation in
                waiters[id] = continuation
                if fetch == nil { startFetch() }
            }
        } onCancel: { Task { await self.leave(id) } }
    }

    /// Call it when the vendor refuses the token that the SDK has. The next `sdkToken()` tells the broker, and returns
    /// another token. The storage keeps the mark until the broker has answered.
    public func tokenWasRefused() {
        if let known = stored { replaceStored(StoredToken(token: known.token, etag: known.etag, refused: true)) }
    }

    /// Names the user whose tokens the client gets from now on. It deletes the stored token of another user, and ends that
    /// user's requests with `logged_out`. It does not log that user out: call `logout()` before.
    /// - Parameter userId: the app's own id of the account, always the same for one account.
    public func switchUser(to userId: String) {
        guard storage.value(forKey: "sdk-token.user") != userId else { return }
        forget()
        storage.set(userId, forKey: "sdk-token.user")
    }

    /// Takes the token of the app's own login response. The next `sdkToken()` returns it without a request. A stored
    /// logout of the same account is dropped: the user is back, and the logout would delete this token.
    /// - Parameters:
    ///   - body: the broker's answer to the app's cloud, unchanged.
    ///   - etag: the `ETag` of that answer.
    ///   - userId: as in `switchUser(to:)`, which this function calls.
    public func useToken(_ body: Data, etag: String? = nil, userId: String) throws {
        let token = try decode(SdkToken.self, from: body)
        switchUser(to: userId)
        pendingLogouts = pendingLogouts.filter { ![token.accessId, ""].contains($0.value) }
        replaceStored(StoredToken(token: token, etag: etag, handedIn: true))
    }

    /// Forgets the token here and at the broker. Call it while the session is valid, and always before another account signs in.
    /// The storage holds the logout and its session until the broker answers: `finishLogout()` repeats it. If the session
    /// source throws, the client uses the last session that the broker has accepted since the app started. A caller that
    /// is cancelled does not stop the logout.
    /// - Returns: `false` if the logout is only stored.
    /// - Throws: `BrokerError` if the logout is refused, for example because the session has ended, or if there is no session
    ///   to log out with. Then nothing is repeated, and the broker keeps the token until it expires.
    @discardableResult
    public func logout() async throws -> Bool {
        let (account, last) = (stored?.token.accessId ?? "", lastSession)
        forget()
        // A task of its own, which is not cancelled with the caller: until a session is stored, the logout could be lost.
        return try await Task {
            do {
                return try await logOut(of: try await exchange.current(orElse: last), account: account)
            } catch let error as BrokerError where error.status == 401 {
                return try await logOut(of: try await exchange.current(renewed: true), account: account)
            }
        }.value
    }

    /// Repeats the stored logouts. Call it when the app starts. Each uses the session of its own account.
    /// When that session has ended, the broker cannot be asked any more, and the logout is dropped.
    /// - Returns: `false` if one is still stored.
    @discardableResult
    public func finishLogout() async -> Bool {
        (try? await sendStoredLogouts(until: exchange.newDeadline(), repeats: false)) != nil
    }

    private func forget() {
        (stored, lastSession) = (nil, nil)
        endFetch(with: .failure(BrokerError.loggedOut))
    }

    private func logOut(of session: String, account: String) async throws -> Bool {
        pendingLogouts.merge([session: account]) { known, _ in known }
        do {
            try await sendLogout(of: session, until: exchange.newDeadline())
        } catch let error as BrokerError where !error.endsLogout { return false }
        return true
    }

    private func sendStoredLogouts(until deadline: TimeInterval, repeats: Bool) async throws {
        for session in pendingLogouts.keys {
            // A logout that is refused is over.
            do {
                try await sendLogout(of: session, until: deadline, repeats: repeats)
            } catch let error as BrokerError where error.endsLogout {}
        }
    }

    /// One at a time, so that a logout is over before the next token is fetched.
    /// - Parameter repeats: only for a fetch, which fails without the logout. At a logout the user should not wait.
    private func sendLogout(of session: String, until deadline: TimeInterval, repeats: Bool = false) async throws {
        let sending = Task { [lastLogout] in
            _ = await lastLogout?.result
            guard pendingLogouts[session] != nil else { return }
            do {
                _ = try await exchange.send(
                    logoutUrl, method: "DELETE", accepted: [204], session: session, until: deadline, repeats: repeats)
                pendingLogouts[session] = nil
            } catch let error as BrokerError {
                if error.endsLogout { pendingLogouts[session] = nil }
                throw error
            }
        }
        lastLogout = sending
        try await withTaskCancellationHandler { try await sending.value } onCancel: { sending.cancel() }
    }

    private func replaceStored(_ changed: StoredToken) {
        stored = changed
        // A fetch that began before must not overwrite it.
        if fetch != nil { startFetch() }
    }

    private func startFetch() {
        fetch?.cancel()
        fetch = Task {
            let result: Result<SdkToken, any Error>
            do { result = .success(try await fetchToken()) } catch { result = .failure(error) }
            // The call that cancelled this fetch has replaced it, or answered the callers.
            if !Task.isCancelled { endFetch(with: result) }
        }
    }

    private func endFetch(with result: Result<SdkToken, any Error>) {
        fetch?.cancel()
        let ended = waiters.values
        (fetch, waiters) = (nil, [:])
        ended.forEach { $0.resume(with: result) }
    }

    private func leave(_ id: UUID) {
        waiters.removeValue(forKey: id)?.resume(throwing: CancellationError())
        if waiters.isEmpty { endFetch(with: .failure(CancellationError())) }
    }

    private func fetchToken() async throws -> SdkToken {
        if let known = stored, known.handedIn, !known.token.isExpired {
            stored = StoredToken(token: known.token, etag: known.etag)
            return known.token
        }
        let deadline = exchange.newDeadline()
        try await sendStoredLogouts(until: deadline, repeats: true)
        while true {
            let known = stored
            let isReport = known?.refused == true && known?.etag != nil
            let headers = ["If-None-Match": known?.etag, "Cache-Control": isReport ? "no-cache" : "max-age=0"]
            let accepted: Set = known?.etag == nil || isReport ? [200] : [200, 304]
            let answer = try await exchange.send(tokenUrl, headers: headers, accepted: accepted, until: deadline)
            // After a logout, an answer must not restore the token.
            try Task.checkCancellation()
            lastSession = answer.session
            if let known, answer.status == 304 { return known.token }
            let token = try decode(SdkToken.self, from: answer.body)
            let etag = answer.header("ETag")
            // A refused token without an ETag cannot be reported. If the answer is this token again, it has one now.
            let isRefused = known?.refused == true && !isReport && token == known?.token && etag != nil
            stored = StoredToken(token: token, etag: etag, refused: isRefused)
            if !isRefused { return token }
        }
    }

    /// One value, so that a process that ends leaves no half of it.
    private var stored: StoredToken? {
        get { storage.value(forKey: "sdk-token").flatMap { try? decode(StoredToken.self, from: Data($0.utf8)) } }
        set { store(newValue, forKey: "sdk-token") }
    }

    /// Session and `accessId` of each logout that the broker has not answered. Without a stored token, the id is empty.
    private var pendingLogouts: [String: String] {
        get { storage.value(forKey: "sdk-token.logouts").flatMap { try? decode([String: String].self, from: Data($0.utf8)) } ?? [:] }
        set { store(newValue.isEmpty ? nil : newValue, forKey: "sdk-token.logouts") }
    }

    private func store(_ value: (some Encodable)?, forKey key: String) {
        guard let value, let json = try? JSONEncoder().encode(value) else { return storage.removeValue(forKey: key) }
        storage.set(String(decoding: json, as: UTF8.self), forKey: key)
    }
}

private struct StoredToken: Codable {
    let token: SdkToken
    let etag: String?
    /// The SDK was refused with it, and the broker has not answered this report yet.
    var refused = false
    /// The app's own login response contained it, and the SDK has not got it yet.
    var handedIn = false
}
