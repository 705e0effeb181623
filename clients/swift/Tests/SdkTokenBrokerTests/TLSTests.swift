import Foundation
import XCTest

@testable import SdkTokenBroker

final class TLSTests: ClientTestCase, @unchecked Sendable {
    func testACertificateThatNobodySignedGetsNoSession() async throws {
        let error = try await brokerError { try await newClient(broker: environment.tls).sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .network)
        let seen = try await environment.seen()
        XCTAssertEqual(seen.requests.count, 0)
        XCTAssertEqual(seen.refusedCertificates, 1)
    }

    #if os(Linux)
        /// `URLSession` on Linux trusts the certificates of one file of the system. So this test runs once more, in a mount
        /// namespace of its own, where the certificate of the test is that file.
        func testATrustedCertificateGetsTheToken() async throws {
            if ProcessInfo.processInfo.environment[TestEnvironment.inherited] != nil {
                _ = try await newClient(broker: environment.tls).sdkToken(userId: "alice")
                return
            }
            let mount = #"mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@""#
            guard try run(mount, environment.certFile, "true") == 0 else {
                throw XCTSkip("This system does not allow mount namespaces")
            }
            let status = try run(
                mount, environment.certFile, CommandLine.arguments[0],
                "SdkTokenBrokerTests.TLSTests/testATrustedCertificateGetsTheToken")
            XCTAssertEqual(status, 0)
            let requests = try await environment.requests()
            XCTAssertEqual(requests.map(\.status), [200])
        }

        private func run(_ arguments: String...) throws -> Int32 {
            let json = String(decoding: try JSONEncoder().encode(environment), as: UTF8.self)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["unshare", "--map-root-user", "--mount", "sh", "-c"] + arguments
            process.environment = ProcessInfo.processInfo.environment.merging([TestEnvironment.inherited: json]) { $1 }
            try process.run()
            process.waitUntilExit()
            return process.terminationStatus
        }
    #endif
}
