import Foundation
import XCTest

@testable import SdkTokenBroker

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

final class LogoutOfAnotherAccountTests: ClientTestCase, @unchecked Sendable {
    /// A client whose network treats each DELETE in its own way. All clients of a test have the same storage.
    private func newClient(
        _ session: String, delete: @escaping @Sendable (URLRequest) async throws -> (Data, HTTPURLResponse)
    ) -> SdkTokenClient {
        SdkTokenClient(
            broker: environment.proxy, uniqueId: phone, sessions: TestSessions(session), storage: storage, totalDeadline: 60,
            attemptTimeout: 60, transport: { try await $0.httpMethod == "DELETE" ? delete($0) : directTransport($0) })
    }

    func testAStoredLogoutOfAnotherAccountNeitherFailsNorDelaysTheTokenAndIsTriedBesideIt() async throws {
        let bob = try await environment.session(account: UUID().uuidString)
        let client = newClient()
        try await client.switchUser(to: "alice")
        _ = try await client.sdkToken()
        try await environment.network(.gone)
        let isDone = try await client.logout()
        XCTAssertFalse(isDone)
        try await environment.network(.forward)
        for status in [429, 503, nil] {
            let tried = expectation(description: "the logout is tried")
            let next = newClient(bob) { request in
                tried.fulfill()
                guard let status, let url = request.url else {
                    try await Task.sleep(nanoseconds: 50_000_000_000)
                    throw URLError(.timedOut)
                }
                let headers = ["Retry-After": "50"]
                return (Data(), HTTPURLResponse(url: url, statusCode: status, httpVersion: nil, headerFields: headers)!)
            }
            try await next.switchUser(to: "bob")
            let startedAt = Date()
            _ = try await next.sdkToken()
            XCTAssertLessThan(Date().timeIntervalSince(startedAt), 25)
            await fulfillment(of: [tried], timeout: 30)
            // While that attempt is under way, no other begins.
            if status == nil { _ = try await next.sdkToken() }
        }

        let last = newClient(TestSessions(bob))
        let token = try await last.sdkToken()
        try await eventually { try await environment.requests("DELETE").first?.status == 204 }
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map { $0.headers["authorization"] }, ["Bearer \(session)"])
        let same = try await last.sdkToken()
        XCTAssertEqual(same, token)
    }

    func testALogoutOfAnotherAccountThatIsUnderWayDoesNotDelayTheToken() async throws {
        let client = newClient(session) { _ in
            try await Task.sleep(nanoseconds: 50_000_000_000)
            throw URLError(.timedOut)
        }
        try await client.switchUser(to: "alice")
        let logout = Task { try await client.logout() }
        try await eventually { storage.value(forKey: "sdk-token.logouts") != nil }
        try await client.switchUser(to: "bob")
        let startedAt = Date()
        _ = try await client.sdkToken()
        XCTAssertLessThan(Date().timeIntervalSince(startedAt), 25)
        logout.cancel()
    }

    func testAStoredLogoutOfTheSameOrOfAnUnknownAccountIsFinishedBeforeTheToken() async throws {
        for (before, after) in [("alice", "alice"), (nil, "alice"), ("alice", nil)] {
            for key in ["sdk-token", "sdk-token.user"] { storage.removeValue(forKey: key) }
            try await environment.network(.gone)
            let client = newClient()
            if let before { try await client.switchUser(to: before) }
            let isDone = try await client.logout()
            XCTAssertFalse(isDone)
            let page = TestEnvironment.Answer(status: 503, headers: ["retry-after": "1"])
            try await environment.network(.forward, answers: [page])

            storage.removeValue(forKey: "sdk-token.user")
            let next = newClient()
            if let after { try await next.switchUser(to: after) }
            _ = try await next.sdkToken()
            let requests = try await environment.seen().requests
            XCTAssertEqual(requests.map(\.method), ["DELETE", "DELETE", "GET"], "\(before ?? "-") \(after ?? "-")")
        }
    }

    func testTheRepetitionOfTheStoredLogoutsTriesEachAccountAlthoughOneFails() async throws {
        let bob = try await environment.session(account: UUID().uuidString)
        try await environment.network(.gone)
        for (user, own) in [("alice", session), ("bob", bob)] {
            let client = newClient(TestSessions(own))
            try await client.switchUser(to: user)
            _ = try await client.logout()
        }
        try await environment.network(.forward, answers: [TestEnvironment.Answer(status: 503)])
        let isFinished = await newClient().finishLogout()
        XCTAssertFalse(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [503, 204])
        let isFinishedNow = await newClient().finishLogout()
        XCTAssertTrue(isFinishedNow)
    }

    func testARepeatedLogoutThatHangsTakesNoTimeFromThoseOfOtherAccounts() async throws {
        let bob = try await environment.session(account: UUID().uuidString)
        try await environment.network(.gone)
        for (user, own) in [("alice", session), ("bob", bob)] {
            let client = newClient(TestSessions(own))
            try await client.switchUser(to: user)
            _ = try await client.logout()
        }
        try await environment.network(.forward, answers: [.hang])
        let isFinished = await newClient(totalDeadline: 3).finishLogout()
        XCTAssertFalse(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [nil, 204])
    }
}
