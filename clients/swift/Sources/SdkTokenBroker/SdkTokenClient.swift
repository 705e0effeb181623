import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// What `SdkTokenClient` does, so that an app's tests can replace it.
public protocol TokenClient: Sendable {
    func sdkToken(userId: String) async throws -> SdkToken
    func tokenWasRefused() async throws
    func useToken(_ body: Data, etag: String?, userId: String) async throws
    @discardableResult func logout() async throws -> Bool
}

/// Gets the vendor's token from the broker, for the account that is signed in to the app. It knows nothing of the SDK.
/// Keep one instance: two with the same storage overwrite each other's values.
///
/// Calls take effect in the order in which the app makes them, whatever the priorities of their tasks.
public actor SdkTokenClient: TokenClient {
    private let order = CallOrder()
    public nonisolated var unownedExecutor: UnownedSerialExecutor { order.asUnownedSerialExecutor() }
    nonisolated let exchange: HTTPExchange
    private let broker: URL
    private let terminal: [String: String?]
    private let regRegion: String?
    private let storage: any TokenStorage
    /// The user of the last call. `nil` after a logout.
    private var userId: String?
    /// A logout, or a call for another user, begins the next login. That ends the calls before.
    private var login = 0
    private var fetch: Task<SdkToken, any Error>?
    /// The last session of this user that the broker has accepted.
    private var lastSession: String?
    private var lastLogout: Task<Bool, Never>?

    /// A mistake in an argument stops the app.
    /// - Parameters:
    ///   - broker: base URL of the broker: an absolute `http` or `https` URL.
    ///   - uniqueId: names the phone: 1 to 128 visible ASCII characters, and not `.` or `..` alone. It is the same for as long
    ///     as the app is installed.
    ///   - app: only if the broker serves several apps and the sessions do not name theirs.
    ///   - regRegion: country of the account (ISO 3166-1 alpha-2), only if neither the sessions nor the broker know it.
    ///   - totalDeadline: seconds for one call, with its waits and attempts: at most 600.
    ///   - attemptTimeout: seconds for one request: at most 600.
    public init(
        broker: URL, uniqueId: String, app: String? = nil, regRegion: String? = nil, sessions: any SessionSource,
        storage: any TokenStorage, totalDeadline: TimeInterval = 30, attemptTimeout: TimeInterval = 10,
        transport: @escaping HTTPTransport = directTransport
    ) {
        requireAddress(broker)
        let isName = uniqueId.range(of: #"\A(?!\.\.?\z)[\x21-\x7e]{1,128}\z"#, options: .regularExpression) != nil
        precondition(isName, "uniqueId must have 1 to 128 visible ASCII characters, and not be . or .. alone")
        for (name, seconds) in [("totalDeadline", totalDeadline), ("attemptTimeout", attemptTimeout)] {
            precondition(seconds > 0 && seconds <= 600, "\(name) is \(seconds) s, but must be more than 0 s and at most 600 s")
        }
        (self.broker, self.regRegion, self.storage) = (broker, regRegion, storage)
        terminal = ["uniqueId": uniqueId, "app": app]
        exchange = HTTPExchange(
            sessions: Sessions(sessions), transport: transport, totalDeadline: totalDeadline, attemptTimeout: attemptTimeout)
    }

    /// The token for the SDK. Concurrent callers share one request. A caller that is cancelled ends only its own waiting.
    /// - Parameter userId: the app's own id of the account that is signed in, always the same for one account. The stored
    ///   token of another user is deleted, and the calls for that user end with `logged_out`.
    /// - Throws: `BrokerError`, `CancellationError` if the caller is cancelled, or the storage's error.
    public func sdkToken(userId: String) async throws -> SdkToken {
        try Task.checkCancellation()
        begin(userId)
        let login = login
        while true {
            let running = fetch ?? startFetch(userId)
            let result: Result<SdkToken, any Error>
            do { result = .success(try await exchange.within(nil) { try await running.value }) } catch { result = .failure(error) }
            try Task.checkCancellation()
            guard login == self.login else { throw BrokerError.loggedOut }
            // A refusal or a token of the app has replaced a fetch that was cancelled.
            if !running.isCancelled { return try result.get() }
        }
    }

    /// Call it when the vendor refuses the token that the SDK has. The next `sdkToken` tells the broker, and returns
    /// another token. The storage keeps the mark until the broker has answered.
    public func tokenWasRefused() throws {
        // A request that reports it goes on, and waits as the broker says.
        guard var known = try stored(), !known.refused else { return }
        (known.refused, known.handedIn) = (true, false)
        try store(known)
        endFetch()
    }

    /// Takes the token of the app's own login response. The next `sdkToken` of this user returns it without a request.
    /// - Parameters:
    ///   - body: the broker's answer to the app's cloud, unchanged.
    ///   - etag: the `ETag` of that answer.
    ///   - userId: as in `sdkToken`.
    /// - Throws: `BrokerError` if the body is not a token, or the storage's error.
    public func useToken(_ body: Data, etag: String? = nil, userId: String) throws {
        begin(userId)
        endFetch()
        let token = try decode(SdkToken.self, from: body)
        try store(StoredToken(userId: userId, token: token, etag: etag, handedIn: true))
    }

    /// Forgets the token at once, and asks the broker once to forget it, with the session that the client used last, or
    /// else `session()`. Nothing is stored for later: your cloud can log the phone out. The calls before end with
    /// `logged_out`, and the next `sdkToken` waits for this request, for `attemptTimeout` at most. A caller that is
    /// cancelled does not stop it.
    /// - Returns: whether the broker confirmed it.
    /// - Throws: the storage's error, if that still holds the token. The broker has been asked even so.
    @discardableResult
    public func logout() async throws -> Bool {
        var request = URLRequest(url: endpoint("sdk-token", of: broker, query: terminal))
        request.httpMethod = "DELETE"
        let logout = Task { [exchange, lastLogout, lastSession, request] in
            let isConfirmed = await exchange.sendOnce(request, session: lastSession)
            _ = await lastLogout?.value
            return isConfirmed
        }
        lastLogout = logout
        endLogin()
        let forgotten = Result { try storage.removeValue(forKey: Self.key) }
        let isConfirmed = await logout.value
        try forgotten.get()
        return isConfirmed
    }

    private func begin(_ userId: String) {
        if self.userId ?? userId != userId { endLogin() }
        self.userId = userId
    }

    private func endLogin() {
        login += 1
        (userId, lastSession) = (nil, nil)
        endFetch()
    }

    private func endFetch() {
        fetch?.cancel()
        fetch = nil
    }

    private func startFetch(_ userId: String) -> Task<SdkToken, any Error> {
        let started = Task {
            defer { if !Task.isCancelled { fetch = nil } }
            return try await fetchToken(of: userId)
        }
        fetch = started
        return started
    }

    private func fetchToken(of userId: String) async throws -> SdkToken {
        // A fetch that has ended before it began must not take the token that is handed in.
        try Task.checkCancellation()
        if let known = try stored(), known.userId != userId { try storage.removeValue(forKey: Self.key) }
        if var known = try stored(), known.handedIn, !known.token.isExpired {
            known.handedIn = false
            try store(known)
            return known.token
        }
        let deadline = exchange.newDeadline()
        // It would delete the new token.
        if let lastLogout { _ = try await exchange.within(deadline) { await lastLogout.value } }
        while true {
            try Task.checkCancellation()
            let known = try stored()
            let report = known?.refused == true ? known?.tag : nil
            let etag = report == nil ? known?.etag : nil
            let query = terminal.merging(["regRegion": regRegion, "refused": report]) { $1 }
            var request = URLRequest(url: endpoint("sdk-token", of: broker, query: query))
            request.setValue(etag, forHTTPHeaderField: "If-None-Match")
            let answer = try await exchange.send(request, accepted: etag == nil ? [200] : [200, 304], until: deadline)
            // After a logout, an answer must not restore the token.
            try Task.checkCancellation()
            lastSession = answer.session
            if let known, answer.status == 304 { return known.token }
            var next = StoredToken(userId: userId, token: try decode(SdkToken.self, from: answer.body), etag: answer.header("ETag"))
            // A refused token without an ETag cannot be reported. If the answer is this token again, it has one now.
            next.refused = known?.refused == true && report == nil && next.token == known?.token && next.tag != nil
            try store(next)
            if !next.refused { return next.token }
        }
    }

    /// One value, so that a process that ends leaves no half of it.
    private static let key = "sdk-token"

    /// A value that is damaged counts as none.
    private func stored() throws -> StoredToken? {
        try storage.value(forKey: Self.key).flatMap { try? decode(StoredToken.self, from: Data($0.utf8)) }
    }

    private func store(_ token: StoredToken) throws {
        try storage.set(String(decoding: JSONEncoder().encode(token), as: UTF8.self), forKey: Self.key)
    }
}

/// Runs the steps of the client in the order in which they are called. An actor without it orders them by priority. A call
/// takes its place at once, on the caller's thread.
private final class CallOrder: SerialExecutor {
    private let queue = DispatchQueue(label: "SdkTokenClient")

    func enqueue(_ job: UnownedJob) { queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) } }
    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

private struct StoredToken: Codable {
    let userId: String
    let token: SdkToken
    let etag: String?
    /// The SDK was refused with it, and the broker has not answered this report yet.
    var refused = false
    /// The app's own login response contained it, and the SDK has not got it yet.
    var handedIn = false

    /// What is between the quotation marks of the `etag`. `nil` if the broker does not give such an `etag`.
    var tag: String? {
        guard let etag, etag.range(of: #"\A(W/)?"[A-Za-z0-9_-]{1,64}"\z"#, options: .regularExpression) != nil else { return nil }
        return etag.split(separator: "\"").last.map(String.init)
    }
}
