// Run by KeychainTests, with KeychainTokenStorage and the stub of Security. Exits with 1 at the first promise that is broken.
import Foundation
import Security

func promise(_ kept: Bool, _ text: String) {
    if kept { return }
    FileHandle.standardError.write(Data("broken: \(text)\n".utf8))
    exit(1)
}

func failure(_ run: () throws -> Void) -> OSStatus? {
    do { try run() } catch { return (error as? KeychainError)?.status }
    return nil
}

let storage: any TokenStorage = KeychainTokenStorage()
promise(try storage.value(forKey: "a") == nil, "a missing value is nil")
try storage.removeValue(forKey: "a")
try storage.set("one", forKey: "a")
try storage.set("zwei ü", forKey: "a")
try storage.set("other", forKey: "b")
promise(try storage.value(forKey: "a") == "zwei ü", "the last value is read")
promise(try KeychainTokenStorage(service: "another").value(forKey: "a") == nil, "another service has its own values")
promise(StubKeychain.items.count == 2, "each key is one item")
for item in StubKeychain.items {
    promise(item[kSecClass] as? String == kSecClassGenericPassword, "an item is a generic password")
    promise(
        item[kSecAttrAccessible] as? String == kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        "an item is readable after the first unlock, and on this device only")
    promise(item[kSecAttrSynchronizable] as? Bool == false, "iCloud does not get an item")
    promise(item[kSecUseDataProtectionKeychain] as? Bool == true, "macOS uses the Keychain that knows kSecAttrAccessible")
}
try storage.removeValue(forKey: "a")
promise(try storage.value(forKey: "a") == nil, "a removed value is gone")
promise(try storage.value(forKey: "b") == "other", "other values stay")

StubKeychain.failure = errSecInteractionNotAllowed
let locked = [
    failure { _ = try storage.value(forKey: "b") }, failure { try storage.set("new", forKey: "b") },
    failure { try storage.removeValue(forKey: "b") },
]
promise(locked == [-25308, -25308, -25308], "every function throws the status of the Keychain")
promise(KeychainError(status: -25308).localizedDescription == "Keychain error -25308: unknown", "the error names its status")
StubKeychain.failure = nil
promise(try storage.value(forKey: "b") == "other", "a failed call changes nothing")
