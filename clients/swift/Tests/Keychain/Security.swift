// A stub of Apple's framework Security, as far as KeychainTokenStorage uses it. With it, Linux compiles and runs that file.
// An item is found by its class, service and account, as in the Keychain of one app.
import Foundation

public typealias CFString = String
public typealias CFDictionary = [String: Any]
public typealias CFTypeRef = AnyObject
public typealias OSStatus = Int32

public let kSecClass = "class", kSecClassGenericPassword = "genp"
public let kSecAttrService = "svce", kSecAttrAccount = "acct", kSecAttrSynchronizable = "sync", kSecAttrAccessible = "pdmn"
public let kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly = "cku"
public let kSecUseDataProtectionKeychain = "nleg"
public let kSecValueData = "v_Data", kSecReturnData = "r_Data", kSecMatchLimit = "m_Limit", kSecMatchLimitOne = "m_LimitOne"
public let errSecSuccess: OSStatus = 0, errSecDuplicateItem: OSStatus = -25299, errSecItemNotFound: OSStatus = -25300
public let errSecInteractionNotAllowed: OSStatus = -25308

/// For the tests.
public enum StubKeychain {
    nonisolated(unsafe) public static var items: [[String: Any]] = []
    /// All functions return it.
    nonisolated(unsafe) public static var failure: OSStatus?
}

private func index(of query: CFDictionary) -> Int? {
    StubKeychain.items.firstIndex { item in
        [kSecClass, kSecAttrService, kSecAttrAccount].allSatisfy { item[$0] as? String == query[$0] as? String }
            && item[kSecAttrSynchronizable] as? Bool == query[kSecAttrSynchronizable] as? Bool
    }
}

public func SecItemCopyMatching(_ query: CFDictionary, _ result: UnsafeMutablePointer<CFTypeRef?>?) -> OSStatus {
    if let failure = StubKeychain.failure { return failure }
    guard let index = index(of: query) else { return errSecItemNotFound }
    guard query[kSecReturnData] as? Bool == true, query[kSecMatchLimit] as? String == kSecMatchLimitOne else { return -50 }
    result?.pointee = (StubKeychain.items[index][kSecValueData] as? Data).map { NSData(data: $0) }
    return errSecSuccess
}

public func SecItemAdd(_ attributes: CFDictionary, _: UnsafeMutablePointer<CFTypeRef?>?) -> OSStatus {
    if let failure = StubKeychain.failure { return failure }
    if index(of: attributes) != nil { return errSecDuplicateItem }
    StubKeychain.items.append(attributes)
    return errSecSuccess
}

public func SecItemUpdate(_ query: CFDictionary, _ changes: CFDictionary) -> OSStatus {
    if let failure = StubKeychain.failure { return failure }
    guard let index = index(of: query) else { return errSecItemNotFound }
    StubKeychain.items[index].merge(changes) { $1 }
    return errSecSuccess
}

public func SecItemDelete(_ query: CFDictionary) -> OSStatus {
    if let failure = StubKeychain.failure { return failure }
    guard let index = index(of: query) else { return errSecItemNotFound }
    StubKeychain.items.remove(at: index)
    return errSecSuccess
}

public func SecCopyErrorMessageString(_: OSStatus, _: UnsafeMutableRawPointer?) -> CFString? { nil }
