import Foundation
import XCTest

#if os(Linux)
    final class KeychainTests: XCTestCase {
        /// Compiles the file with a stub of Security, and runs Tests/Keychain/main.swift.
        func testTheKeychainStorageKeepsItsPromisesWithAStubOfSecurity() throws {
            let folder = try temporaryFolder()
            let tests = Repository.root.appendingPathComponent("clients/swift/Tests/Keychain").path
            let sources = Repository.sources.path
            try run("swiftc", "-swift-version", "6", "-warnings-as-errors", "-parse-as-library", "-emit-module",
                "-emit-library", "-static", "-module-name", "Security", "\(tests)/Security.swift", in: folder)
            try run("swiftc", "-swift-version", "6", "-warnings-as-errors", "-I", ".", "-L", ".", "-lSecurity",
                "\(sources)/AppInterfaces.swift", "\(sources)/KeychainTokenStorage.swift", "\(tests)/main.swift", "-o", "tests", in: folder)
            try run("./tests", in: folder)
        }
    }
#endif
