#if canImport(Security)
    import Foundation
    import Security

    /// Keeps the values in the Keychain, readable from the first unlock after a start of the phone. They stay on this phone:
    /// neither iCloud nor a backup moves them to another one. They also outlive the app's deletion. On macOS, the app needs
    /// the entitlement `keychain-access-groups`.
    public struct KeychainTokenStorage: TokenStorage {
        private let service: String

        /// - Parameter service: the Keychain's name for the values of one client.
        public init(service: String = "sdk-token-broker") { self.service = service }

        public func value(forKey key: String) throws -> String? {
            var query = item(key)
            query[kSecReturnData as String] = true
            query[kSecMatchLimit as String] = kSecMatchLimitOne
            var found: CFTypeRef?
            let status = SecItemCopyMatching(query as CFDictionary, &found)
            if status == errSecItemNotFound { return nil }
            try succeed(status)
            return (found as? Data).map { String(decoding: $0, as: UTF8.self) }
        }

        public func set(_ value: String, forKey key: String) throws {
            let content: [String: Any] = [
                kSecValueData as String: Data(value.utf8),
                kSecAttrAccessible as String: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
            ]
            let status = SecItemUpdate(item(key) as CFDictionary, content as CFDictionary)
            if status != errSecItemNotFound { return try succeed(status) }
            try succeed(SecItemAdd(item(key).merging(content) { $1 } as CFDictionary, nil))
        }

        public func removeValue(forKey key: String) throws {
            let status = SecItemDelete(item(key) as CFDictionary)
            if status != errSecItemNotFound { try succeed(status) }
        }

        private func item(_ key: String) -> [String: Any] {
            [
                kSecClass as String: kSecClassGenericPassword,
                kSecAttrService as String: service,
                kSecAttrAccount as String: key,
                kSecAttrSynchronizable as String: false,
                // On macOS, the other Keychain ignores kSecAttrAccessible.
                kSecUseDataProtectionKeychain as String: true,
            ]
        }

        private func succeed(_ status: OSStatus) throws {
            if status != errSecSuccess { throw KeychainError(status: status) }
        }
    }

    public struct KeychainError: LocalizedError, Equatable {
        /// For example `errSecInteractionNotAllowed` before the first unlock, or `errSecMissingEntitlement`.
        public let status: OSStatus

        public var errorDescription: String? {
            "Keychain error \(status): \(SecCopyErrorMessageString(status, nil) as String? ?? "unknown")"
        }
    }
#endif
