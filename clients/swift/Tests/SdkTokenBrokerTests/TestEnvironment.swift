import Foundation
import XCTest

@testable import SdkTokenBroker

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The vendor simulator, a customer cloud, the broker, and a proxy between client and broker. One for all tests.
struct TestEnvironment: Codable {
    let vendor: URL, cloud: URL, broker: URL, internalApi: URL, proxy: URL, tls: URL, control: URL, certFile: String

    struct Seen: Decodable {
        struct Request: Decodable {
            let method: String, url: String, headers: [String: String], body: String
            /// `nil` while there is no answer.
            let status: Int?
        }
        let requests: [Request], abandoned: Int, portalVisits: Int, refusedCertificates: Int
    }

    /// How the network behaves. The proxy gives the answers first, one for each request.
    enum Network: String { case forward, gone, portal, page, hang, endless }
    struct Answer {
        var status = 200, headers: [String: String] = [:], body = ""
        /// No answer.
        static let hang = Answer(status: 0)
        static func json(_ body: String, status: Int = 200, headers: [String: String] = [:]) -> Answer {
            Answer(status: status, headers: headers.merging(["content-type": "application/json"]) { $1 }, body: body)
        }
    }

    /// The processes end when this pipe closes, also if the tests crash.
    private static let input = Pipe()
    private static let started = Result { try start() }

    static func shared() throws -> TestEnvironment { try started.get() }

    /// Set in a process that a test starts: the environment of that test.
    static let inherited = "SDK_TOKEN_BROKER_TEST_ENVIRONMENT"

    private static func start() throws -> TestEnvironment {
        if let json = ProcessInfo.processInfo.environment[inherited] {
            return try JSONDecoder().decode(TestEnvironment.self, from: Data(json.utf8))
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "node", Repository.root.appendingPathComponent("clients/swift/Tests/Environment/environment.mjs").path,
            Repository.root.appendingPathComponent("dist/main.js").path,
        ]
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var line = Data()
        while line.last != UInt8(ascii: "\n") {
            let bytes = output.fileHandleForReading.availableData
            if bytes.isEmpty { throw GWError(message: "The broker did not start. Is dist/main.js built (npm ci)?") }
            line += bytes
        }
        return try JSONDecoder().decode(TestEnvironment.self, from: line)
    }

    func network(_ mode: Network, answers: [Answer] = []) async throws {
        let list = answers.map { ["status": $0.status, "headers": $0.headers, "body": $0.body] as [String: Any] }
        try await post(control.appendingPathComponent("set"), ["mode": mode.rawValue, "answers": list])
    }

    /// What the proxy has seen since the last call of `network`.
    func seen() async throws -> Seen {
        let (body, _) = try await URLSession.shared.data(for: URLRequest(url: control.appendingPathComponent("seen")))
        return try JSONDecoder().decode(Seen.self, from: body)
    }

    func requests(_ method: String = "GET") async throws -> [Seen.Request] {
        try await seen().requests.filter { $0.method == method }
    }

    /// Changes the vendor simulator, for example `["fault": "http-500", "faultCount": 2]`.
    func vendor(_ settings: [String: Any]) async throws {
        try await post(vendor.appendingPathComponent("simulator/configure"), settings)
    }

    func vendorAccepts(_ accessToken: String) async throws -> Bool {
        let answer = try await post(vendor.appendingPathComponent("simulator/check-token"), ["accessToken": accessToken])
        return try JSONDecoder().decode([String: Bool].self, from: answer)["live"] == true
    }

    /// Successful vendor logins of the terminal.
    func logins(uniqueId: String) async throws -> Int {
        struct State: Decodable {
            struct Terminal: Decodable { let uniqueId: String, logins: Int }
            let loginsByTerminal: [Terminal]
        }
        let url = vendor.appendingPathComponent("simulator/state")
        let (body, _) = try await URLSession.shared.data(for: URLRequest(url: url))
        let terminals = try JSONDecoder().decode(State.self, from: body).loginsByTerminal
        return terminals.filter { $0.uniqueId == uniqueId }.reduce(0) { $0 + $1.logins }
    }

    /// A session of the account, from the customer cloud.
    func session(account: String) async throws -> String {
        struct Login: Decodable { let session: String }
        let answer = try await post(cloud.appendingPathComponent("login"), ["account": account, "region": "DE"])
        return try JSONDecoder().decode(Login.self, from: answer).session
    }

    /// What the broker gives to the app's cloud for its own login response.
    func tokenForTheCloud(session: String, uniqueId: String) async throws -> (body: Data, etag: String?) {
        let claims = session.split(separator: ".")[1].replacingOccurrences(of: "-", with: "+")
            .replacingOccurrences(of: "_", with: "/")
        let padded = claims.padding(toLength: (claims.count + 3) / 4 * 4, withPad: "=", startingAt: 0)
        struct Claims: Decodable { let sub: String }
        let account = try JSONDecoder().decode(Claims.self, from: Data(base64Encoded: padded) ?? Data()).sub
        let path = "accounts/\(account)/terminals/\(uniqueId)/sdk-token"
        let url = endpoint(path, of: internalApi, query: ["regRegion": "DE"])
        var request = URLRequest(url: url)
        request.setValue("Bearer token-of-the-internal-api", forHTTPHeaderField: "Authorization")
        let (body, response) = try await URLSession.shared.data(for: request)
        return (body, (response as? HTTPURLResponse)?.value(forHTTPHeaderField: "ETag"))
    }

    @discardableResult
    private func post(_ url: URL, _ body: [String: Any]) async throws -> Data {
        var request = URLRequest(url: url)
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = try JSONSerialization.data(withJSONObject: body)
        let (answer, response) = try await URLSession.shared.data(for: request)
        let status = (response as? HTTPURLResponse)?.statusCode
        if status != 200 { throw GWError(message: "\(url.path) answered \(status ?? 0)") }
        return answer
    }
}

/// The app's own login, as the test wants it.
final class TestSessions: SessionSource, @unchecked Sendable {
    enum Question { case session, renewal }
    private struct State {
        var session: String
        var error: (any Error)?
        var held: Set<Question> = []
        var refused: [String] = []
        var hasBeenCancelled = false
    }
    private let lock = NSLock()
    private var state: State
    private let next: String?
    private let stores: Bool

    /// - Parameters:
    ///   - next: what a renewal returns. `nil`: the same session again.
    ///   - stores: whether `session()` returns it afterwards.
    init(_ session: String, next: String? = nil, stores: Bool = true) {
        (state, self.next, self.stores) = (State(session: session), next, stores)
    }

    var value: String {
        get { lock.withLock { state.session } }
        set { lock.withLock { state.session = newValue } }
    }
    /// What both questions throw.
    var error: (any Error)? {
        get { lock.withLock { state.error } }
        set { lock.withLock { state.error = newValue } }
    }
    /// The questions that wait, also if they are cancelled.
    var held: Set<Question> {
        get { lock.withLock { state.held } }
        set { lock.withLock { state.held = newValue } }
    }
    /// The sessions that the client wanted another one for.
    var refused: [String] { lock.withLock { state.refused } }
    /// Whether a question was cancelled while it waited.
    var hasBeenCancelled: Bool { lock.withLock { state.hasBeenCancelled } }

    func session() async throws -> String {
        await wait(.session)
        if let error { throw error }
        return value
    }
    func renewedSession(refused: String) async throws -> String {
        lock.withLock { state.refused.append(refused) }
        await wait(.renewal)
        if let error { throw error }
        if stores, let next { value = next }
        return next ?? value
    }
    private func wait(_ question: Question) async {
        await withTaskCancellationHandler {
            while held.contains(question) { await Task.detached { try? await Task.sleep(nanoseconds: 10_000_000) }.value }
        } onCancel: { lock.withLock { state.hasBeenCancelled = true } }
    }
}

/// Counts the calls, and those on the main thread.
final class WatchedStorage: TokenStorage, @unchecked Sendable {
    private let storage: any TokenStorage
    private let lock = NSLock()
    private var counts = (all: 0, onMain: 0)

    init(_ storage: any TokenStorage) { self.storage = storage }

    var accesses: Int { lock.withLock { counts.all } }
    var accessesOnMain: Int { lock.withLock { counts.onMain } }
    private func count() { lock.withLock { counts = (counts.all + 1, counts.onMain + (Thread.isMainThread ? 1 : 0)) } }

    func value(forKey key: String) throws -> String? {
        count()
        return try storage.value(forKey: key)
    }
    func set(_ value: String, forKey key: String) throws {
        count()
        try storage.set(value, forKey: key)
    }
    func removeValue(forKey key: String) throws {
        count()
        try storage.removeValue(forKey: key)
    }
}

/// Storage whose functions fail when the test wants it.
final class FailingStorage: TokenStorage, @unchecked Sendable {
    enum Function { case get, set, remove }
    struct Failure: Error {}
    private let storage: any TokenStorage
    private let lock = NSLock()
    private var failing: Set<Function> = []

    init(_ storage: any TokenStorage) { self.storage = storage }

    var fails: Set<Function> {
        get { lock.withLock { failing } }
        set { lock.withLock { failing = newValue } }
    }
    func value(forKey key: String) throws -> String? {
        if fails.contains(.get) { throw Failure() }
        return try storage.value(forKey: key)
    }
    func set(_ value: String, forKey key: String) throws {
        if fails.contains(.set) { throw Failure() }
        try storage.set(value, forKey: key)
    }
    func removeValue(forKey key: String) throws {
        if fails.contains(.remove) { throw Failure() }
        try storage.removeValue(forKey: key)
    }
}

/// Storage whose reads wait while it is closed.
final class SlowStorage: TokenStorage, @unchecked Sendable {
    private let storage: any TokenStorage
    private let state = NSCondition()
    private var (isClosed, waiting) = (false, false)

    init(_ storage: any TokenStorage) { self.storage = storage }

    var isWaitedFor: Bool { state.withLock { waiting } }
    func close() { state.withLock { isClosed = true } }
    func open() {
        state.withLock { isClosed = false }
        state.broadcast()
    }
    func value(forKey key: String) throws -> String? {
        state.withLock {
            while isClosed {
                waiting = true
                state.wait()
            }
        }
        return try storage.value(forKey: key)
    }
    func set(_ value: String, forKey key: String) throws { try storage.set(value, forKey: key) }
    func removeValue(forKey key: String) throws { try storage.removeValue(forKey: key) }
}

/// A test with an account and a phone of its own. The network and the vendor work when it begins.
class ClientTestCase: XCTestCase, @unchecked Sendable {
    var environment: TestEnvironment!
    var session = ""
    let phone = "phone-\(UUID().uuidString)"
    let storage = InMemoryTokenStorage()

    override func setUp() async throws {
        environment = try TestEnvironment.shared()
        try await environment.network(.forward)
        try await environment.vendor(["fault": "none", "latencyMs": 0])
        session = try await environment.session(account: UUID().uuidString)
    }

    func newClient(
        _ sessions: (any SessionSource)? = nil, broker: URL? = nil, uniqueId: String? = nil, storage: (any TokenStorage)? = nil,
        totalDeadline: TimeInterval = 20, attemptTimeout: TimeInterval = 10
    ) -> SdkTokenClient {
        SdkTokenClient(
            broker: broker ?? environment.proxy, uniqueId: uniqueId ?? phone, sessions: sessions ?? TestSessions(session),
            storage: storage ?? self.storage, totalDeadline: totalDeadline, attemptTimeout: attemptTimeout)
    }

    func logins() async throws -> Int { try await environment.logins(uniqueId: phone) }
}

extension XCTestCase {
    /// The error that the operation throws.
    func brokerError(
        _ operation: () async throws -> Any, file: StaticString = #filePath, line: UInt = #line
    ) async throws -> BrokerError {
        do {
            _ = try await operation()
        } catch {
            return try XCTUnwrap(error as? BrokerError, "\(error)", file: file, line: line)
        }
        XCTFail("nothing was thrown", file: file, line: line)
        throw GWError(message: "nothing was thrown")
    }

    /// Waits until the condition holds, for 10 seconds at most.
    func eventually(
        _ condition: () async throws -> Bool, isolation _: isolated (any Actor)? = #isolation, file: StaticString = #filePath, line: UInt = #line
    ) async throws {
        for _ in 0..<1_200 {
            if try await condition() { return }
            try await Task.sleep(nanoseconds: 50_000_000)
        }
        XCTFail("the condition never held", file: file, line: line)
    }
}
