import Foundation
import XCTest

@testable import SdkTokenBroker

/// The cases of clients/cases.md, section "Logout". Where no network is named, alice has a token.
final class LogoutTests: ClientTestCase, @unchecked Sendable {
    /// A client whose DELETE takes a second longer.
    private func clientWithSlowLogout(_ sessions: TestSessions, attemptTimeout: TimeInterval = 10) -> SdkTokenClient {
        SdkTokenClient(
            broker: environment.proxy, uniqueId: phone, sessions: sessions, storage: storage, attemptTimeout: attemptTimeout,
            transport: { request in
                if request.httpMethod == "DELETE" { try await Task.sleep(nanoseconds: 1_000_000_000) }
                return try await directTransport(request)
            })
    }

    func testLogout() async throws {
        let sessions = TestSessions(session)
        let client = newClient(sessions)
        let before = try await client.sdkToken(userId: "alice")
        // The source may belong to nobody already.
        sessions.error = BrokerError.noSession
        let isConfirmed = try await client.logout()
        XCTAssertTrue(isConfirmed)
        XCTAssertNil(storage.value(forKey: "sdk-token"))
        sessions.error = nil
        let after = try await client.sdkToken(userId: "alice")

        XCTAssertNotEqual(after.accessToken, before.accessToken)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "DELETE", "GET"])
        XCTAssertEqual(requests.map(\.status), [200, 204, 200])
        XCTAssertNil(requests.last?.headers["if-none-match"])
    }

    func testLogout_withTheSessionOfTheAppAfterARestartAlsoIfTheCallerIsCancelled() async throws {
        _ = try await newClient().sdkToken(userId: "alice")
        let client = newClient()
        let logout = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await client.logout()
        }
        let isConfirmed = try await logout.value
        XCTAssertTrue(isConfirmed)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map { $0.headers["authorization"] }, ["Bearer \(session)"])
    }

    func testLogoutUnconfirmed() async throws {
        let problem = #"{"code":"session_expired","retryable":false}"#
        let busy = #"{"code":"store_unavailable","retryable":true}"#
        let answers: [TestEnvironment.Answer?] = [
            nil, .hang, .json(problem, status: 401), .json(busy, status: 503, headers: ["retry-after": "1"]),
            TestEnvironment.Answer(status: 405, headers: ["content-type": "text/html"], body: "<h1>Blocked</h1>"),
        ]
        for answer in answers {
            let sessions = TestSessions(session)
            let client = newClient(sessions, attemptTimeout: 1)
            try await environment.network(.forward)
            _ = try await client.sdkToken(userId: "alice")
            if let answer { try await environment.network(.forward, answers: [answer]) } else { try await environment.network(.gone) }
            let startedAt = Date()
            let isConfirmed = try await client.logout()
            XCTAssertFalse(isConfirmed)
            XCTAssertLessThan(Date().timeIntervalSince(startedAt), 5)
            XCTAssertNil(storage.value(forKey: "sdk-token"))
            XCTAssertEqual(storage.isEmpty, true)

            // Nothing is repeated, also not after a restart.
            if answer == nil { try await environment.network(.forward) }
            _ = try await newClient().sdkToken(userId: "alice")
            let deletes = try await environment.requests("DELETE")
            XCTAssertEqual(deletes.count, answer == nil ? 0 : 1)
            XCTAssertEqual(sessions.refused, [])
        }
    }

    func testLogoutUnconfirmed_withoutASessionOrWithASourceThatNeverAnswers() async throws {
        for isSilent in [false, true] {
            _ = try await newClient().sdkToken(userId: "alice")
            let sessions = TestSessions(session)
            sessions.error = BrokerError.noSession
            if isSilent { sessions.held = [.session] }
            let isConfirmed = try await newClient(sessions, attemptTimeout: 1).logout()
            XCTAssertFalse(isConfirmed)
            XCTAssertNil(storage.value(forKey: "sdk-token"))
            sessions.held = []
        }
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.count, 0)
    }

    func testLogoutDuringRequest() async throws {
        try await environment.vendor(["latencyMs": 1_000])
        let client = newClient()
        let waiting = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { try await environment.requests().count == 1 }
        try await client.logout()

        let error = try await brokerError { try await waiting.value }
        XCTAssertEqual(error.kind, .loggedOut)
        XCTAssertEqual(error.code, "logged_out")
        try await Task.sleep(nanoseconds: 1_500_000_000)
        XCTAssertNil(storage.value(forKey: "sdk-token"))
    }

    func testLoginAfterLogout() async throws {
        let client = clientWithSlowLogout(TestSessions(session))
        _ = try await client.sdkToken(userId: "alice")
        // Two taps on the button.
        async let first = client.logout()
        async let second = client.logout()
        try await eventually { storage.value(forKey: "sdk-token") == nil }
        let token = try await client.sdkToken(userId: "alice")
        let areConfirmed = try await [first, second]
        XCTAssertEqual(areConfirmed, [true, true])
        let same = try await client.sdkToken(userId: "alice")
        XCTAssertEqual(same, token)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "DELETE", "DELETE", "GET", "GET"])
        XCTAssertEqual(requests.last?.status, 304, "the broker still has the new token")
    }

    func testLoginAfterLogout_waitsForTheTimeoutOfAnAttemptAtMost() async throws {
        let client = clientWithSlowLogout(TestSessions(session), attemptTimeout: 2)
        _ = try await client.sdkToken(userId: "alice")
        try await environment.network(.forward, answers: [.hang])
        async let logout = client.logout()
        try await eventually { storage.value(forKey: "sdk-token") == nil }
        let startedAt = Date()
        _ = try await client.sdkToken(userId: "bob")
        XCTAssertGreaterThan(Date().timeIntervalSince(startedAt), 1.5)
        XCTAssertLessThan(Date().timeIntervalSince(startedAt), 10)
        let isConfirmed = try await logout
        XCTAssertFalse(isConfirmed)
    }

    func testALogoutThatCannotDeleteTheStoredTokenReachesTheBrokerAndIsAnError() async throws {
        let failing = FailingStorage(storage)
        let client = newClient(storage: failing)
        _ = try await client.sdkToken(userId: "alice")
        // As the Keychain before the first unlock of the phone.
        failing.fails = [.get, .set, .remove]
        for call in [{ _ = try await client.logout() }, { _ = try await client.sdkToken(userId: "alice") }]
            as [@Sendable () async throws -> Void]
        {
            do {
                try await call()
                XCTFail("nothing was thrown")
            } catch { XCTAssertTrue(error is FailingStorage.Failure, "\(error)") }
        }
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.status), [200, 204])
    }
}
