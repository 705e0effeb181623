import Foundation

/// Why a call failed. It never contains a session or a token, so it may go into the app's log.
public struct BrokerError: LocalizedError, CustomStringConvertible, Equatable, Sendable {
    public enum Kind: Sendable {
        /// The session is missing or has ended, also after one renewal, or the app's own login threw an error: the user
        /// has to log in to the app's cloud.
        case sessionNeeded
        /// `account_disabled`, `terminal_limit` or `session_forbidden`: tell the user.
        case forbidden
        case rateLimited
        /// The vendor refused the login, or did not answer.
        case vendorTrouble
        /// The broker cannot answer at this moment.
        case temporary
        /// A mistake in the app or in its settings.
        case invalidRequest
        /// No answer: no network, no trusted certificate, or a timeout.
        case network
        /// Something else answered, for example the login page of a public Wi-Fi network, or an answer of more than 64 KiB.
        case unexpectedAnswer

        fileprivate init(code: String, status: Int) {
            // By status, so that a code that a later broker adds has a kind, too.
            switch status {
            case _ where code.hasPrefix("vendor_"): self = .vendorTrouble
            case 401: self = .sessionNeeded
            case 403: self = .forbidden
            case 429: self = .rateLimited
            case 400..<500: self = .invalidRequest
            default: self = .temporary
            }
        }
    }

    public let kind: Kind
    /// The broker's code, or one of the client: `network_unavailable`, `network_timeout`, `unexpected_answer`,
    /// `session_invalid`, `session_unavailable` (the session source threw an error), `logged_out`.
    public let code: String
    /// HTTP status, `nil` without an answer.
    public internal(set) var status: Int?
    /// Names the request in the broker's log.
    public internal(set) var requestId: String?
    /// Whether the same call may succeed later, unchanged.
    public internal(set) var retryable = false
    /// Seconds after which a retry makes sense.
    public internal(set) var retryAfter: TimeInterval?

    public var description: String { code + (requestId.map { ", request \($0)" } ?? "") }
    public var errorDescription: String? { description }
}

extension BrokerError {
    static let networkUnavailable = BrokerError(kind: .network, code: "network_unavailable", retryable: true)
    static let networkTimeout = BrokerError(kind: .network, code: "network_timeout", retryable: true)
    static let unexpectedAnswer = BrokerError(kind: .unexpectedAnswer, code: "unexpected_answer")
    static let sessionInvalid = BrokerError(kind: .sessionNeeded, code: "session_invalid")
    static let sessionUnavailable = BrokerError(kind: .sessionNeeded, code: "session_unavailable")
    static let loggedOut = BrokerError(kind: .sessionNeeded, code: "logged_out")

    /// An answer that is none of those that the call expects.
    init(_ answer: HTTPAnswer) {
        if answer.isJSON, let problem = try? JSONDecoder().decode(Problem.self, from: answer.body) {
            self.init(kind: Kind(code: problem.code, status: answer.status), code: problem.code)
            requestId = problem.requestId
            retryable = problem.retryable ?? false
        } else {
            self = .unexpectedAnswer
            // A load balancer answers with these statuses while it reaches no replica.
            retryable = [429, 502, 503, 504].contains(answer.status)
        }
        status = answer.status
        // 0 counts as no header: it would be a loop without a pause.
        retryAfter = answer.header("Retry-After").flatMap { Int($0) }.flatMap { $0 > 0 ? TimeInterval($0) : nil }
    }

    /// Whether the logout will never succeed: the session has ended, or may not do it. Also if something between app and
    /// broker refuses it for good, for example a firewall that blocks DELETE: it would stop every later fetch.
    var endsLogout: Bool { 400..<500 ~= status ?? 0 && status != 429 || kind == .sessionNeeded }

    private struct Problem: Decodable {
        let code: String, requestId: String?, retryable: Bool?
    }
}
