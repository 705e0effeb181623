import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Sends one request and follows no redirect. Replace it to pin certificates, or to send cookies as the session. Yours
/// should also bound the answer, and throw `URLError(.dataLengthExceedsMaximum)` for a longer one.
public typealias HTTPTransport = @Sendable (URLRequest) async throws -> (Data, HTTPURLResponse)

struct HTTPAnswer: Sendable {
    let body: Data, response: HTTPURLResponse, session: String

    var status: Int { response.statusCode }
    var isJSON: Bool { header("Content-Type")?.lowercased().contains("json") ?? false }
    func header(_ name: String) -> String? { response.value(forHTTPHeaderField: name) }
}

/// Sends requests with a session: renewed once after 401, and repeated while that helps.
struct HTTPExchange: Sendable {
    let sessions: Sessions
    let transport: HTTPTransport
    let totalDeadline: TimeInterval
    let attemptTimeout: TimeInterval

    /// - Parameters:
    ///   - accepted: statuses that are an answer. Bodies must be JSON.
    ///   - deadline: end of the call, if it began earlier.
    func send(_ request: URLRequest, accepted: Set<Int>, until deadline: TimeInterval? = nil) async throws -> HTTPAnswer {
        let endsAt = deadline ?? newDeadline()
        var session = try await within(endsAt) { try await sessions.current() }
        var isNew = false
        var backoff = 1.0
        while true {
            let failure: BrokerError
            do {
                let answer = try await attempt(request, session: session, endsAt: endsAt)
                if accepted.contains(answer.status), answer.isJSON || answer.status == 304 { return answer }
                failure = BrokerError(answer)
            } catch let error as BrokerError {
                failure = error
            }
            if failure.status == 401, !isNew {
                (session, isNew) = try await within(endsAt) { [session] in try await sessions.renewed(session) }
                continue
            }
            // The random part keeps apart the phones that lost the broker at the same time.
            let wait = failure.retryAfter ?? backoff * Double.random(in: 0.5...1)
            // Without a network the app learns it at once: the app knows best when the network is back.
            let mayHelp = failure.retryable && failure.code != BrokerError.Code.networkUnavailable
            guard mayHelp, Self.now() + wait < endsAt else { throw failure }
            try await Self.sleep(wait)
            backoff *= 2
        }
    }

    /// Sends a request once, without a renewal.
    /// - Parameter session: `nil`: the one that the app has.
    /// - Returns: whether the answer was 204.
    func sendOnce(_ request: URLRequest, session: String?) async -> Bool {
        let endsAt = Self.now() + min(attemptTimeout, totalDeadline)
        do {
            let session = try await within(endsAt) { if let session { session } else { try await sessions.current() } }
            return try await attempt(request, session: session, endsAt: endsAt).status == 204
        } catch { return false }
    }

    func newDeadline() -> TimeInterval { Self.now() + totalDeadline }

    private func attempt(_ request: URLRequest, session: String, endsAt: TimeInterval) async throws -> HTTPAnswer {
        // A line break in a header would start another header.
        guard session.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) else { throw BrokerError.sessionInvalid }
        var request = request
        request.setValue("Bearer \(session)", forHTTPHeaderField: "Authorization")
        return try await within(min(endsAt, Self.now() + attemptTimeout)) { [request] in
            do {
                let (body, response) = try await transport(request)
                return HTTPAnswer(body: body, response: response, session: session)
            } catch {
                try Task.checkCancellation()
                switch (error as? URLError)?.code {
                case .timedOut?: throw BrokerError.networkTimeout(error)
                case .dataLengthExceedsMaximum?: throw BrokerError.unexpectedAnswer
                default: throw BrokerError.networkUnavailable(error)
                }
            }
        }
    }

    /// Cancels the operation at the given time, or when the caller is cancelled, and does not wait for it: it may ignore that.
    func within<T: Sendable>(_ endsAt: TimeInterval?, _ run: @escaping @Sendable () async throws -> T) async throws -> T {
        let (results, first) = AsyncThrowingStream<T, any Error>.makeStream()
        let running = Task { do { first.yield(try await run()) } catch { first.finish(throwing: error) } }
        let timer = endsAt.map { endsAt in
            Task {
                try await Self.sleep(endsAt - Self.now())
                first.finish(throwing: BrokerError.networkTimeout())
            }
        }
        defer { running.cancel() }
        defer { timer?.cancel() }
        for try await result in results { return result }
        // The caller was cancelled.
        throw CancellationError()
    }

    private static func sleep(_ seconds: TimeInterval) async throws {
        try await Task.sleep(nanoseconds: UInt64(max(0, seconds) * 1e9))
    }

    /// Seconds. Unlike `Date`, nobody sets this clock. Unlike `systemUptime`, it needs no reason in the privacy manifest.
    private static func now() -> TimeInterval { TimeInterval(DispatchTime.now().uptimeNanoseconds) / 1e9 }
}

/// The default transport: a `URLSession` without redirects, cookies and cache. An answer has at most 64 KiB.
public let directTransport: HTTPTransport = { try await BoundedSession.shared.answer(to: $0) }

/// `URLSession.data(for:)` would load an answer without an end.
private final class BoundedSession: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    static let shared = BoundedSession()
    static let maxBytes = 64 << 10

    private struct Exchange {
        let answered: CheckedContinuation<(Data, HTTPURLResponse), any Error>
        var body = Data()
        var isTooLong: Bool { body.count > maxBytes }
    }

    private let lock = NSLock()
    private var exchanges: [Int: Exchange] = [:]
    private lazy var session = {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpCookieStorage = nil
        configuration.urlCache = nil
        return URLSession(configuration: configuration, delegate: self, delegateQueue: nil)
    }()

    func answer(to request: URLRequest) async throws -> (Data, HTTPURLResponse) {
        let task = lock.withLock { session.dataTask(with: request) }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { answered in
                lock.withLock { exchanges[task.taskIdentifier] = Exchange(answered: answered) }
                task.resume()
                // The end of a task that was cancelled before may have come while nobody was there to hear of it.
                if Task.isCancelled { end(task, error: URLError(.cancelled)) }
            }
        } onCancel: { task.cancel() }
    }

    private func end(_ task: URLSessionTask, error: (any Error)?) {
        guard let exchange = lock.withLock({ exchanges.removeValue(forKey: task.taskIdentifier) }) else { return }
        if error == nil, let response = task.response as? HTTPURLResponse {
            exchange.answered.resume(returning: (exchange.body, response))
        } else {
            exchange.answered.resume(throwing: error ?? URLError(.badServerResponse))
        }
    }

    func urlSession(_: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        let tooLong: Exchange? = lock.withLock {
            exchanges[dataTask.taskIdentifier]?.body.append(data)
            guard exchanges[dataTask.taskIdentifier]?.isTooLong == true else { return nil }
            return exchanges.removeValue(forKey: dataTask.taskIdentifier)
        }
        guard let tooLong else { return }
        dataTask.cancel()
        tooLong.answered.resume(throwing: URLError(.dataLengthExceedsMaximum))
    }

    func urlSession(_: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        end(task, error: error)
    }

    /// A redirect would show the session to another server.
    func urlSession(
        _: URLSession, task _: URLSessionTask, willPerformHTTPRedirection _: HTTPURLResponse, newRequest _: URLRequest,
        completionHandler: @escaping (URLRequest?) -> Void
    ) { completionHandler(nil) }
}

func requireAddress(_ url: URL) {
    let isAddress = ["http", "https"].contains(url.scheme?.lowercased()) && url.host?.isEmpty == false
    precondition(isAddress, "\(url) is not an absolute http or https URL")
}

/// Values may hold any character. `URLComponents` alone would leave `+`, which servers read as a space.
func endpoint(_ path: String, of base: URL, query: [String: String?] = [:]) -> URL {
    var components = URLComponents(url: base.appendingPathComponent(path), resolvingAgainstBaseURL: false)!
    let items = query.compactMap { name, value in value.map { URLQueryItem(name: name, value: $0) } }
    components.queryItems = items.isEmpty ? nil : items
    components.percentEncodedQuery = components.percentEncodedQuery?.replacingOccurrences(of: "+", with: "%2B")
    return components.url!
}

/// The decoder's own error may quote the body, so it does not get out.
func decode<T: Decodable>(_ type: T.Type, from body: Data) throws -> T {
    do { return try JSONDecoder().decode(type, from: body) } catch { throw BrokerError.unexpectedAnswer }
}
