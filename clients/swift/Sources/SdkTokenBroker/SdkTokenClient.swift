import Foundation

/// Gets the vendor's token from the broker, for the account that is signed in to the app. It knows nothing of the SDK.
/// Keep one instance: two with the same storage overwrite each other's values.
///
/// Calls take effect in the order in which the app makes them, whatever the priorities of their tasks.
public actor SdkTokenClient {
    private let order = CallOrder()
    public nonisolated var unownedExecutor: UnownedSerialExecutor { order.asUnownedSerialExecutor() }
    /// Seconds for one call.
    public nonisolated var totalDeadline: TimeInterval { exchange.totalDeadline }
    private let logoutUrl: URL
    private let broker: URL
    private let tokenQuery: [String: String?]
    private let storage: any TokenStorage
    private let exchange: HTTPExchange
    private var waiters: [UUID: CheckedContinuation<SdkToken, any Error>] = [:]
    private var fetch: Task<Void, Never>?
    /// The last session of the present user that the broker has accepted, for a logout. It is not in the storage.
    private var lastSession: String?
    /// The logouts that the storage has refused.
    private var unstoredLogouts: [String: PendingLogout] = [:]
    /// By the session: why a logout is over that another call may still wait to send. That one may renew its session.
    private var refusals: [String: BrokerError] = [:]
    /// By the user's id. The logouts of one user run one after the other, so that all of them are over before the next
    /// token of this user is fetched.
    private var lastLogouts: [String?: Task<Bool, any Error>] = [:]
    /// Repeats the logouts of other users beside the fetches.
    private var otherLogouts: Task<Void, Never>?
    /// What running logouts ask the session source. After the next login, its answers are not used.
    private var questions: [Task<String, any Error>] = []
    private var logins = 0

    /// - Parameters:
    ///   - broker: base URL of the broker. Anything but an absolute `http` or `https` URL stops the app, as a mistake in it.
    ///   - uniqueId: names the phone: 1 to 128 visible ASCII characters, and not `.` or `..` alone. It is the same for as long
    ///     as the app is installed.
    ///   - app: only if the broker serves several apps and the sessions do not name theirs.
    ///   - regRegion: country of the account (ISO 3166-1 alpha-2), only if neither the sessions nor the broker know it.
    ///   - totalDeadline: seconds for one call, with its waits and attempts. `finishLogout()` has them for each user.
    ///   - attemptTimeout: seconds for one request.
    public init(
        broker: URL, uniqueId: String, app: String? = nil, regRegion: String? = nil, sessions: any SessionSource,
        storage: any TokenStorage, totalDeadline: TimeInterval = 30, attemptTimeout: TimeInterval = 10,
        transport: @escaping HTTPTransport = directTransport
    ) {
        requireAddress(broker)
        logoutUrl = endpoint("sdk-token", of: broker, query: ["uniqueId": uniqueId, "app": app])
        self.broker = broker
        tokenQuery = ["uniqueId": uniqueId, "app": app, "regRegion": regRegion]
        self.storage = storage
        exchange = HTTPExchange(
            sessions: sessions, transport: transport, totalDeadline: totalDeadline, attemptTimeout: attemptTimeout)
    }

    /// The token for the SDK. Concurrent callers share one request, which ends when the last of them is cancelled. A
    /// stored logout of the same user is finished first: later, it would delete the new token. One of another user is
    /// tried, but not waited for. Users whom the app has not named count as the same.
    /// - Throws: `BrokerError`, or `CancellationError` if the caller is cancelled.
    public func sdkToken() async throws -> SdkToken { try await sdkToken(of: nil) }

    /// Like `sdkToken()`, but throws `logged_out` if the app has named another user. A question of the SDK may be late.
    public func sdkToken(of userId: String?) async throws -> SdkToken {
        let id = UUID()
        return try await withTaskCancellationHandler {
            try Task.checkCancellation()
            if let userId, try storage.value(forKey: Key.user) ?? userId != userId { throw BrokerError.loggedOut }
            return try await withCheckedThrowingContinuation { continuation in
                waiters[id] = continuation
                if fetch == nil { startFetch() }
            }
        } onCancel: { Task { await self.leave(id) } }
    }

    /// Call it when the vendor refuses the token that the SDK has. The next `sdkToken()` tells the broker, and returns
    /// another token. The storage keeps the mark until the broker has answered.
    public func tokenWasRefused() throws {
        // A request that reports it goes on, and waits as the broker says.
        guard let known = try stored(), !known.refused else { return }
        try replaceStored(StoredToken(token: known.token, etag: known.etag, refused: true))
    }

    /// Names the user whose tokens the client gets from now on. It deletes the stored token of another user, and ends that
    /// user's requests with `logged_out`. It does not log that user out: call `logout()` before. A logout that waits for the
    /// session source stops waiting.
    /// - Parameter userId: the app's own id of the account, always the same for one account.
    public func switchUser(to userId: String) throws {
        endQuestions()
        guard try storage.value(forKey: Key.user) != userId else { return }
        try forget()
        try storage.set(userId, forKey: Key.user)
    }

    /// Takes the token of the app's own login response. The next `sdkToken()` returns it without a request. A pending
    /// logout of the same user is dropped: the user is back, and the logout would delete this token.
    /// - Parameters:
    ///   - body: the broker's answer to the app's cloud, unchanged.
    ///   - etag: the `ETag` of that answer.
    ///   - userId: as in `switchUser(to:)`, which this function calls.
    /// - Throws: `BrokerError` if the body is not a token. The user is then switched all the same.
    public func useToken(_ body: Data, etag: String? = nil, userId: String) throws {
        try switchUser(to: userId)
        let token = try decode(SdkToken.self, from: body)
        try editLogouts { all in all = all.filter { $0.value.accessId != token.accessId && $0.value.userId != userId } }
        try replaceStored(StoredToken(token: token, etag: etag, handedIn: true))
    }

    /// Forgets the token here and at the broker. Call it while the session is valid, and always before another account signs in.
    /// It belongs to the user who is present at the call. The token and the last session of this user are taken at once, and
    /// the storage holds the logout until the broker answers: `finishLogout()` repeats it. The client prefers the session that
    /// the session source has now. If that throws, or if somebody has logged in before it answers, the client uses the last
    /// session that the broker has accepted since the app started. A caller that is cancelled does not stop the logout.
    /// - Returns: `false` if the logout is only stored.
    /// - Throws: `BrokerError` if the logout is refused, for example because the session has ended, or if there is no session
    ///   to log out with. Then nothing is repeated, and the broker keeps the token until it expires. The error of the storage,
    ///   if that still holds the token, or does not hold a logout that has to be repeated. The broker has been asked even so.
    @discardableResult
    public func logout() async throws -> Bool {
        let (login, last) = (logins, lastSession)
        // Where `try?` ignores the storage, `unstoredLogouts` has the logout, and `sendLogout` throws if it has to be repeated.
        let user = try? storage.value(forKey: Key.user)
        let account = PendingLogout(accessId: (try? stored())?.token.accessId, userId: user)
        if let last { try? store(account, session: last) }
        let forgotten = Result { try forget() }
        let latest = Task {
            do {
                let session = try await askForSession(login: login)
                if session != last { try? store(account, session: session, insteadOf: last) }
                return session
            } catch {
                if let last { return last }
                throw error
            }
        }
        // A task of its own, which is not cancelled with the caller. It ends after all earlier ones of this user.
        let logout = Task { [last = lastLogouts[user]] in
            let session = await latest.result
            _ = await last?.result
            do {
                return try await sendLogout(of: session.get())
            } catch let error as BrokerError where error.status == 401 {
                guard let renewed = try? await askForSession(login: login, renewed: true) else { throw error }
                try? store(account, session: renewed)
                return try await sendLogout(of: renewed)
            }
        }
        lastLogouts[user] = logout
        let isDone = try await logout.value
        try forgotten.get()
        return isDone
    }

    /// Repeats the stored logouts. Call it when the app starts. Each uses the session of its own account.
    /// When that session has ended, the broker cannot be asked any more, and the logout is dropped.
    /// - Returns: `false` if one is still stored.
    @discardableResult
    public func finishLogout() async -> Bool {
        guard let users = try? usersWithLogouts() else { return false }
        var isDone = true
        for user in users {
            // A deadline for each: one that hangs takes no time from the others.
            let deadline = exchange.newDeadline()
            do { try await sendStoredLogouts(of: user, until: deadline, repeats: false) } catch { isDone = false }
        }
        return isDone
    }

    private func forget() throws {
        lastSession = nil
        endFetch(with: .failure(BrokerError.loggedOut))
        try storage.removeValue(forKey: Key.token)
    }

    private func askForSession(login: Int, renewed: Bool = false) async throws -> String {
        guard login == logins else { throw BrokerError.loggedOut }
        let question = Task { try await exchange.current(renewed: renewed) }
        questions.append(question)
        let answer = await question.result
        guard login == logins else { throw BrokerError.loggedOut }
        return try answer.get()
    }

    private func endQuestions() {
        logins += 1
        questions.forEach { $0.cancel() }
        questions = []
    }

    /// The users who have a logout that is stored or under way. `nil` if the app has not named the user.
    private func usersWithLogouts() throws -> Set<String?> {
        try Set(lastLogouts.keys).union(pendingLogouts().values.map(\.userId))
    }

    /// - Parameter repeats: only for a fetch, which fails without the logout. At a logout the user should not wait.
    private func sendStoredLogouts(of user: String?, until deadline: TimeInterval, repeats: Bool) async throws {
        let sending = Task { [last = lastLogouts[user]] in
            _ = await last?.result
            for session in try pendingLogouts().filter({ $0.value.userId == user }).keys {
                // A logout that is refused is over.
                do {
                    try await deleteToken(of: session, until: deadline, repeats: repeats)
                } catch let error as BrokerError where error.endsLogout { try store(nil, session: session) }
            }
            return true
        }
        lastLogouts[user] = sending
        _ = try await withTaskCancellationHandler {
            try await exchange.within(deadline) { try await sending.value }
        } onCancel: { sending.cancel() }
    }

    /// The sessions of other users cannot delete the token of this one. So the fetch does not wait.
    private func repeatOtherLogouts() {
        if otherLogouts == nil {
            otherLogouts = Task {
                await finishLogout()
                otherLogouts = nil
            }
        }
    }

    private func sendLogout(of session: String) async throws -> Bool {
        do {
            try await deleteToken(of: session, until: exchange.newDeadline(), repeats: false)
        } catch let error as BrokerError {
            if error.endsLogout {
                // An error of the storage must not hide the refusal: the session may be renewed.
                try? store(nil, session: session)
                throw error
            }
            if !unstoredLogouts.isEmpty { try editLogouts { _ in } }
            return false
        }
        return true
    }

    private func deleteToken(of session: String, until deadline: TimeInterval, repeats: Bool) async throws {
        // Another call may have finished this logout, or `useToken` has dropped it. A storage that fails does not tell.
        guard (try? unstoredLogouts[session] != nil || pendingLogouts()[session] != nil) ?? true else {
            if let refusal = refusals[session] { throw refusal }
            return
        }
        do {
            _ = try await exchange.send(
                logoutUrl, method: "DELETE", accepted: [204], session: session, until: deadline, repeats: repeats)
        } catch let error as BrokerError {
            if error.endsLogout { refusals[session] = error }
            throw error
        }
        try store(nil, session: session)
    }

    private func replaceStored(_ changed: StoredToken) throws {
        try store(changed, forKey: Key.token)
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
        // A fetch that has been replaced before it began must not take the token that is handed in.
        try Task.checkCancellation()
        if let known = try stored(), known.handedIn, !known.token.isExpired {
            try store(StoredToken(token: known.token, etag: known.etag), forKey: Key.token)
            return known.token
        }
        let deadline = exchange.newDeadline()
        let present = try storage.value(forKey: Key.user)
        for user in try usersWithLogouts() where user == present || user == nil || present == nil {
            try await sendStoredLogouts(of: user, until: deadline, repeats: true)
        }
        repeatOtherLogouts()
        while true {
            let known = try stored()
            let report = known?.refused == true ? known?.tag : nil
            let etag = report == nil ? known?.etag : nil
            let answer = try await exchange.send(
                endpoint("sdk-token", of: broker, query: tokenQuery.merging(["refused": report]) { $1 }),
                headers: ["If-None-Match": etag], accepted: etag == nil ? [200] : [200, 304], until: deadline)
            // After a logout, an answer must not restore the token.
            try Task.checkCancellation()
            lastSession = answer.session
            if let known, answer.status == 304 { return known.token }
            let token = try decode(SdkToken.self, from: answer.body)
            var next = StoredToken(token: token, etag: answer.header("ETag"))
            // A refused token without an ETag cannot be reported. If the answer is this token again, it has one now.
            next.refused = known?.refused == true && report == nil && token == known?.token && next.tag != nil
            try store(next, forKey: Key.token)
            if !next.refused { return token }
        }
    }

    private enum Key {
        /// One value, so that a process that ends leaves no half of it.
        static let token = "sdk-token"
        static let user = "sdk-token.user"
        static let logouts = "sdk-token.logouts"
    }

    private func stored() throws -> StoredToken? { try value(forKey: Key.token) }

    /// The logouts that the broker has not answered, by their sessions.
    private func pendingLogouts() throws -> [String: PendingLogout] {
        let stored: [String: PendingLogout] = try value(forKey: Key.logouts) ?? [:]
        return stored.merging(unstoredLogouts) { $1 }
    }

    private func store(_ account: PendingLogout?, session: String, insteadOf former: String? = nil) throws {
        if account != nil { refusals[session] = nil }
        try editLogouts { all in
            if let former { all[former] = nil }
            all[session] = account
        }
    }

    private func editLogouts(_ edit: (inout [String: PendingLogout]) -> Void) throws {
        do {
            var all = try pendingLogouts()
            edit(&all)
            if all.isEmpty { try storage.removeValue(forKey: Key.logouts) } else { try store(all, forKey: Key.logouts) }
            unstoredLogouts = [:]
        } catch {
            edit(&unstoredLogouts)
            throw error
        }
    }

    /// A value that is damaged counts as none.
    private func value<T: Decodable>(forKey key: String) throws -> T? {
        try storage.value(forKey: key).flatMap { try? decode(T.self, from: Data($0.utf8)) }
    }

    private func store(_ value: some Encodable, forKey key: String) throws {
        try storage.set(String(decoding: JSONEncoder().encode(value), as: UTF8.self), forKey: key)
    }
}

/// Runs the steps of the client in the order in which they are called. An actor without it orders them by priority. A call
/// takes its place at once, on the caller's thread.
private final class CallOrder: SerialExecutor {
    private let queue = DispatchQueue(label: "SdkTokenClient")

    func enqueue(_ job: UnownedJob) { queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) } }
    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

/// Whose logout it is: it is dropped when this user comes back with a token.
private struct PendingLogout: Codable {
    /// `nil` if no token was stored.
    let accessId: String?
    /// `nil` if the app has named no user.
    let userId: String?
}

private struct StoredToken: Codable {
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
