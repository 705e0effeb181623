import Foundation

/// Why a call failed. Its description never contains a session or a token, so it may go into the app's log.
public struct BrokerError: LocalizedError, CustomStringConvertible, Sendable {
    public enum Kind: Sendable {
        /// The session has ended, also after one renewal, or there is none: the user has to log in to the app's cloud.
        case sessionNeeded
        /// The user has logged out, or another user has logged in, during the call: show nothing.
        case loggedOut
        /// HTTP 403, for example `terminal_limit`: tell the user.
        case forbidden
        case rateLimited
        /// The vendor refused the login, or did not answer.
        case vendorTrouble
        /// The broker, or the session source, cannot answer at this moment.
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
            case 401: self = .sessionNeeded
            case _ where code.hasPrefix("vendor_"): self = .vendorTrouble
            case 403: self = .forbidden
            case 429: self = .rateLimited
            case 400..<500: self = .invalidRequest
            default: self = .temporary
            }
        }
    }

    public let kind: Kind
    /// The codes of the client itself.
    public enum Code {
        public static let networkUnavailable = "network_unavailable"
        public static let networkTimeout = "network_timeout"
        public static let unexpectedAnswer = "unexpected_answer"
        /// The session source threw an error. The kind is `sessionNeeded` only if it was `BrokerError.noSession`.
        public static let sessionUnavailable = "session_unavailable"
        public static let loggedOut = "logged_out"
    }

    /// The broker's code, or one of `Code`.
    public let code: String
    /// HTTP status, `nil` without an answer.
    public internal(set) var status: Int?
    /// The broker's sentence about the error, for developers.
    public internal(set) var detail: String?
    /// Names the request in the broker's log.
    public internal(set) var requestId: String?
    /// Whether the same call may succeed later, unchanged.
    public internal(set) var retryable = false
    /// Seconds after which a retry makes sense.
    public internal(set) var retryAfter: TimeInterval?

    /// What the session source or the transport threw. Not part of the description.
    public internal(set) var underlyingError: (any Error)?

    /// For the app's own tests. A session source throws `noSession`.
    public init(
        kind: Kind, code: String, status: Int? = nil, detail: String? = nil, requestId: String? = nil,
        retryable: Bool = false, retryAfter: TimeInterval? = nil, underlyingError: (any Error)? = nil
    ) {
        (self.kind, self.code, self.status, self.detail) = (kind, code, status, detail)
        (self.requestId, self.retryable, self.retryAfter) = (requestId, retryable, retryAfter)
        self.underlyingError = underlyingError
    }

    /// A session source throws it if the user has to log in to the app's cloud.
    public static let noSession = BrokerError(kind: .sessionNeeded, code: Code.sessionUnavailable)

    public var description: String {
        [code, detail, requestId.map { "request \($0)" }].compactMap { $0 }.joined(separator: ", ")
    }
    public var errorDescription: String? { description }
}

extension BrokerError {
    static func networkUnavailable(_ error: any Error) -> Self {
        Self(kind: .network, code: Code.networkUnavailable, retryable: true, underlyingError: error)
    }
    static func networkTimeout(_ error: (any Error)? = nil) -> Self {
        Self(kind: .network, code: Code.networkTimeout, retryable: true, underlyingError: error)
    }
    static func sessionUnavailable(_ error: any Error) -> Self {
        Self(kind: .temporary, code: Code.sessionUnavailable, retryable: true, underlyingError: error)
    }
    static let unexpectedAnswer = Self(kind: .unexpectedAnswer, code: Code.unexpectedAnswer)
    /// The code of the broker. The client uses it for a session that no header can hold, and for a gateway's own 401.
    static let sessionInvalid = Self(kind: .sessionNeeded, code: "session_invalid")
    static let loggedOut = Self(kind: .loggedOut, code: Code.loggedOut)

    /// An answer that is none of those that the call expects.
    init(_ answer: HTTPAnswer) {
        let problem = answer.isJSON ? try? JSONDecoder().decode(Problem.self, from: answer.body) : nil
        if answer.status == 401, problem?.code.hasPrefix("session_") != true {
            self = .sessionInvalid
        } else if let problem {
            self.init(kind: Kind(code: problem.code, status: answer.status), code: problem.code)
            // The sentence of a gateway about the headers may repeat the session. The broker's never does.
            detail = problem.detail.flatMap { $0.contains(answer.session) ? nil : $0 }
            requestId = problem.requestId
            retryable = kind != .sessionNeeded && problem.retryable == true
        } else {
            self = .unexpectedAnswer
            // A load balancer answers with these statuses while it reaches no replica.
            retryable = [429, 502, 503, 504].contains(answer.status)
        }
        status = answer.status
        retryAfter = answer.header("Retry-After").flatMap(Self.seconds)
    }

    /// - Parameter header: seconds, or a date in one of the three forms of RFC 9110.
    /// - Returns: whole seconds. `nil` if it cannot be read. 0 and the past count as that: no loop without a pause.
    private static func seconds(ofRetryAfter header: String) -> TimeInterval? {
        var seconds = Int(header).map(TimeInterval.init)
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(secondsFromGMT: 0)
        for form in ["EEE, dd MMM yyyy HH:mm:ss 'GMT'", "EEEE, dd-MMM-yy HH:mm:ss 'GMT'", "EEE MMM d HH:mm:ss yyyy"] {
            format.dateFormat = form
            seconds = seconds ?? format.date(from: header)?.timeIntervalSinceNow.rounded(.up)
        }
        return seconds.flatMap { $0 > 0 ? $0 : nil }
    }

    private struct Problem: Decodable {
        let code: String, detail: String?, requestId: String?, retryable: Bool?
    }
}
