/// The app's own login. The client asks it for the session that the broker checks. If nobody is logged in, or the session
/// cannot be renewed, throw `BrokerError.noSession`. Any other error counts as temporary, and the caller of the client gets
/// a `BrokerError` that is `retryable`: `network_unavailable` for a `URLError`, else `session_unavailable`.
public protocol SessionSource: Sendable {
    /// The session of the account that is signed in now. Return the one that you have, without a request.
    func session() async throws -> String
    /// A new session, after the broker answered 401 to `session()`. It may use the network.
    func renewedSession() async throws -> String
}

/// Strings that outlive the app's process. They hold the token, the id of its user and, after a logout without network,
/// the session: use `KeychainTokenStorage`, or encrypt them yourself. The client never calls it on the main thread. If a
/// function throws, the caller of the client gets that error.
public protocol TokenStorage: Sendable {
    func value(forKey key: String) throws -> String?
    func set(_ value: String, forKey key: String) throws
    /// Succeeds if there is no value.
    func removeValue(forKey key: String) throws
}
