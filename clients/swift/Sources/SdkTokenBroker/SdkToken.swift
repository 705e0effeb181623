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

    /// For the app's own tests.
    public init(accessId: String, accessToken: String, expireTime: String, terminalId: String, expend: String) {
        (self.accessId, self.accessToken, self.expireTime) = (accessId, accessToken, expireTime)
        (self.terminalId, self.expend) = (terminalId, expend)
    }

    var isExpired: Bool { Date().timeIntervalSince1970 >= Double(expireTime) ?? 0 }
}

extension SdkToken: CustomStringConvertible, CustomReflectable {
    public var description: String { "SdkToken(expireTime: \(expireTime))" }
    /// `dump` and the failures of test frameworks show what the mirror shows.
    public var customMirror: Mirror { Mirror(self, children: ["expireTime": expireTime]) }
}
