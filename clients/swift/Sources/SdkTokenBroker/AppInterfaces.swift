/// The app's own login. The client asks it for the session that the broker checks. Only `BrokerError.noSession` means that
/// the user has to log in. Any other error is temporary, and the caller of the client gets a `BrokerError` that is
/// `retryable`: `network_unavailable` for a `URLError`, else `session_unavailable`.
public protocol SessionSource: Sendable {
    /// The session of the account that is signed in now. Return the one that you have, without a request.
    func session() async throws -> String
    /// A new session. It may use the network. The client calls it once at a time and never cancels it.
    /// - Parameter refused: the session to which the broker or your cloud answered 401. If you have another one by now,
    ///   you may return that.
    func renewedSession(refused: String) async throws -> String
}

/// Strings that outlive the app's process. They hold the token and the id of its user: use `KeychainTokenStorage`, or
/// encrypt them yourself. The client never calls it on the main thread. If a function throws, the caller of the client
/// gets that error.
public protocol TokenStorage: Sendable {
    func value(forKey key: String) throws -> String?
    func set(_ value: String, forKey key: String) throws
    /// Succeeds if there is no value.
    func removeValue(forKey key: String) throws
}
