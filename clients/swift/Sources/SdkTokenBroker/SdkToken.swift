import Foundation

/// The five strings that the vendor's SDK needs. Pass them on unchanged. No description of a token shows the secret.
public struct SdkToken: Codable, Equatable, Sendable {
    public let accessId: String
    /// A secret.
    public let accessToken: String
    /// Epoch seconds.
    public let expireTime: String
    public let terminalId: String
    public let expend: String

    var isExpired: Bool { Date().timeIntervalSince1970 >= Double(expireTime) ?? 0 }
}

extension SdkToken: CustomStringConvertible, CustomReflectable {
    public var description: String { "SdkToken(expireTime: \(expireTime))" }
    /// `dump` and the failures of test frameworks show what the mirror shows.
    public var customMirror: Mirror { Mirror(self, children: ["expireTime": expireTime]) }
}

/// The app's own login. The client asks it for the session that the broker checks. If it throws, the caller of the client
/// gets a `BrokerError`: `network_unavailable` for a `URLError`, else `session_unavailable`.
public protocol SessionSource: Sendable {
    /// The current session of the signed-in account.
    func session() async throws -> String
    /// A new session. The client asks once for each call, after the broker answered 401 to the current session.
    func renewedSession() async throws -> String
}

/// Strings that outlive the app's process. They hold the token, the id of its user and, after a logout without network,
/// the session: use the Keychain. Items must be readable while the phone is locked if the app runs in the background.
public protocol TokenStorage: Sendable {
    func value(forKey key: String) -> String?
    func set(_ value: String, forKey key: String)
    func removeValue(forKey key: String)
}
