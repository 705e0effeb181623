import Foundation
import XCTest

@testable import SdkTokenBroker

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

final class TokenTests: ClientTestCase, @unchecked Sendable {
    func testFirstToken() async throws {
        let token = try await newClient().sdkToken(userId: "alice")

        let answer = try await environment.tokenForTheCloud(session: session, uniqueId: phone).body
        let fields = try JSONDecoder().decode([String: String].self, from: answer)
        XCTAssertEqual(
            [token.accessId, token.accessToken, token.expireTime, token.terminalId, token.expend],
            ["accessId", "accessToken", "expireTime", "terminalId", "expend"].map { fields[$0] })
        let accepted = try await environment.vendorAccepts(token.accessToken)
        XCTAssertTrue(accepted)
    }

    func testTheQueryNamesPhoneAppAndRegionWhateverCharactersTheyHave() async throws {
        let client = SdkTokenClient(
            broker: environment.proxy, uniqueId: "a+b&c=d/e?f#g%h", app: "default", regRegion: "FR",
            sessions: TestSessions(session), storage: storage)
        _ = try await client.sdkToken(userId: "alice")
        try await client.logout()

        let logins = try await environment.logins(uniqueId: "a+b&c=d/e?f#g%h")
        XCTAssertEqual(logins, 1)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "DELETE"])
        XCTAssertTrue(try XCTUnwrap(requests.first).url.contains("regRegion=FR"))
        XCTAssertFalse(try XCTUnwrap(requests.last).url.contains("regRegion"), "DELETE refuses parameters that it does not know")
    }

    func testTokenUnchanged() async throws {
        let first = try await newClient().sdkToken(userId: "alice")
        let second = try await newClient().sdkToken(userId: "alice")

        XCTAssertEqual(first, second)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [200, 304])
        XCTAssertNotNil(requests.last?.headers["if-none-match"])
    }

    func testRefusedToken() async throws {
        let client = newClient()
        let refused = try await client.sdkToken(userId: "alice")
        try await client.tokenWasRefused()
        let next = try await client.sdkToken(userId: "alice")
        let after = try await client.sdkToken(userId: "alice")

        XCTAssertNotEqual(next.accessToken, refused.accessToken)
        XCTAssertEqual(after, next)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map { $0.url.contains("refused=") }, [false, true, false])
        XCTAssertEqual(requests.map { $0.headers["if-none-match"] != nil }, [false, false, true])
        let logins = try await logins()
        XCTAssertEqual(logins, 2)
    }

    func testRefusalAfterRestart() async throws {
        let refused = try await newClient().sdkToken(userId: "alice")
        try await newClient().tokenWasRefused()
        try await environment.network(.gone)
        _ = try await brokerError { try await newClient().sdkToken(userId: "alice") }
        try await environment.network(.forward)

        let next = try await newClient().sdkToken(userId: "alice")
        XCTAssertNotEqual(next.accessToken, refused.accessToken)
    }

    func testRefusedDuringRequest() async throws {
        let client = newClient()
        let refused = try await client.sdkToken(userId: "alice")
        try await environment.network(.forward, answers: [.hang])
        let waiting = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { try await environment.requests().count == 1 }
        try await client.tokenWasRefused()

        let next = try await waiting.value
        XCTAssertNotEqual(next.accessToken, refused.accessToken)
    }

    func testRefusedToken_withoutATokenReportsNothing() async throws {
        let client = newClient()
        try await client.tokenWasRefused()
        _ = try await client.sdkToken(userId: "alice")
        let requests = try await environment.requests()
        let request = try XCTUnwrap(requests.first)
        XCTAssertFalse(request.url.contains("refused="))
    }

    func testHandedInToken() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        try await newClient().useToken(body, etag: etag, userId: "alice")
        let token = try await newClient().sdkToken(userId: "alice")
        let none = try await environment.requests()
        _ = try await newClient().sdkToken(userId: "alice")

        XCTAssertEqual(token, try JSONDecoder().decode(SdkToken.self, from: body))
        XCTAssertEqual(none.count, 0)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [304])
    }

    func testHandedInToken_endsARequestThatIsUnderWay() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        try await environment.network(.hang)
        let client = newClient()
        let waiting = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { try await environment.requests().count == 1 }
        try await client.useToken(body, etag: etag, userId: "alice")

        let token = try await waiting.value
        XCTAssertEqual(token, try JSONDecoder().decode(SdkToken.self, from: body))
    }

    /// The client is busy, so that the read has not begun when the app hands in the token.
    @MainActor
    func testHandedInToken_isNotLostIfAReadIsAboutToBegin() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        let slow = SlowStorage(storage)
        let client = newClient(storage: slow)
        slow.close()
        let busy = Task { try await client.tokenWasRefused() }
        try await eventually { slow.isWaitedFor }
        var calls = 0
        let waiting = Task {
            calls += 1
            return try await client.sdkToken(userId: "alice")
        }
        try await eventually { calls == 1 }
        let handingIn = Task {
            calls += 1
            try await client.useToken(body, etag: etag, userId: "alice")
        }
        try await eventually { calls == 2 }
        slow.open()
        _ = try await (busy.value, handingIn.value)

        let token = try await waiting.value
        XCTAssertEqual(token, try JSONDecoder().decode(SdkToken.self, from: body))
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 0)
    }

    func testRefusedToken_withAnETagInAnyFormAndWithoutOne() async throws {
        let client = newClient()
        let changes: [(String) -> String?] = [{ "W/\($0)" }, { $0.replacingOccurrences(of: "\"", with: "") }, { _ in nil }]
        for change in changes {
            let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
            try await client.useToken(body, etag: change(XCTUnwrap(etag)), userId: "alice")
            let refused = try await client.sdkToken(userId: "alice")
            try await client.tokenWasRefused()
            let next = try await client.sdkToken(userId: "alice")
            XCTAssertNotEqual(next.accessToken, refused.accessToken)
        }
        let logins = try await logins()
        XCTAssertEqual(logins, 1 + changes.count)
    }

    func testHandedInToken_isNotUsedIfItHasExpired() async throws {
        let expired = #"{"accessId":"1","accessToken":"old","expireTime":"1699349988","terminalId":"1","expend":"{}"}"#
        try await newClient().useToken(Data(expired.utf8), etag: "\"old\"", userId: "alice")
        let token = try await newClient().sdkToken(userId: "alice")
        XCTAssertNotEqual(token.accessToken, "old")
    }

    func testHandedInToken_thatIsNoneIsRefusedWithoutQuotingIt() async throws {
        let error = try await brokerError { try await newClient().useToken(Data(#"{"accessToken":"secret"}"#.utf8), userId: "alice") }
        XCTAssertEqual(error.kind, .unexpectedAnswer)
        XCTAssertFalse("\(error)".contains("secret"))
    }

    func testOtherUserDuringRequest() async throws {
        try await environment.vendor(["latencyMs": 1_500])
        let bob = try await environment.session(account: UUID().uuidString)
        let sessions = TestSessions(session)
        let client = newClient(sessions)
        let first = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { try await environment.requests().count == 1 }
        sessions.value = bob
        let second = try await client.sdkToken(userId: "bob")

        let error = try await brokerError { try await first.value }
        XCTAssertEqual(error.kind, .loggedOut)
        let own = try await environment.tokenForTheCloud(session: bob, uniqueId: phone).body
        XCTAssertEqual(second, try JSONDecoder().decode(SdkToken.self, from: own))
        XCTAssertEqual(storage.value(forKey: "sdk-token")?.contains(second.accessToken), true)
    }

    func testOtherUserStored() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        let sessions = TestSessions(try await environment.session(account: UUID().uuidString))
        for isHandedIn in [false, true] {
            let first = newClient()
            _ = try await first.sdkToken(userId: "alice")
            if isHandedIn { try await first.useToken(body, etag: etag, userId: "alice") }
            let client = newClient(sessions)
            _ = try await brokerError { try await client.useToken(Data("null".utf8), userId: "bob") }
            sessions.error = URLError(.notConnectedToInternet)
            _ = try await brokerError { try await client.sdkToken(userId: "bob") }
            XCTAssertTrue(storage.isEmpty)
            sessions.error = nil
            let token = try await client.sdkToken(userId: "bob")
            let own = try await environment.tokenForTheCloud(session: sessions.value, uniqueId: phone).body
            XCTAssertEqual(token, try JSONDecoder().decode(SdkToken.self, from: own))
            let last = try await environment.requests().last
            XCTAssertNil(last?.headers["if-none-match"])
        }
    }

    func testDamagedStorage() async throws {
        for value in [#"{"userId":"#, #"{"userId":"alice","token":{"accessToken":1}}"#, "7"] {
            storage.set(value, forKey: "sdk-token")
            _ = try await newClient().sdkToken(userId: "alice")
        }
    }

    func testCallersShareRequest() async throws {
        try await environment.vendor(["latencyMs": 1_500])
        let client = newClient()
        let cancelled = Task { try await client.sdkToken(userId: "alice") }
        let other = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { try await environment.requests().count == 1 }
        let cancelledAt = Date()
        cancelled.cancel()
        let result = await cancelled.result
        XCTAssertLessThan(Date().timeIntervalSince(cancelledAt), 1)
        XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError) }
        _ = try await other.value
        let seen = try await environment.seen()
        XCTAssertEqual(seen.requests.count, 1)
        XCTAssertEqual(seen.abandoned, 0)
    }

    func testTheDefaultTransportEndsForATaskThatIsCancelledAtItsStart() async throws {
        try await environment.network(.hang)
        let request = URLRequest(url: environment.proxy)
        let ended = expectation(description: "all have ended")
        ended.expectedFulfillmentCount = 200
        for _ in 0..<ended.expectedFulfillmentCount {
            Task {
                withUnsafeCurrentTask { $0?.cancel() }
                _ = try? await directTransport(request)
                ended.fulfill()
            }
        }
        await fulfillment(of: [ended], timeout: 10)
    }

    func testNoSecrets() async throws {
        let token = try await newClient().sdkToken(userId: "alice")
        var dumped = ""
        dump(token, to: &dumped)
        for text in ["\(token)", String(reflecting: token), "\([token])", dumped] {
            XCTAssertFalse(text.contains(token.accessToken))
            XCTAssertTrue(text.contains(token.expireTime))
        }
    }
}
