import Foundation
import SdkTokenBroker

/// Storage that ends with the process. In an app, use the Keychain.
public final class InMemoryTokenStorage: TokenStorage, @unchecked Sendable {
    private let lock = NSLock()
    private var values: [String: String] = [:]

    public init() {}
    public var isEmpty: Bool { lock.withLock { values.isEmpty } }
    public func value(forKey key: String) -> String? { lock.withLock { values[key] } }
    public func set(_ value: String, forKey key: String) { lock.withLock { values[key] = value } }
    public func removeValue(forKey key: String) { lock.withLock { values[key] = nil } }
}
