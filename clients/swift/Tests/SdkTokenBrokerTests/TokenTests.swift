import Foundation
import XCTest

@testable import SdkTokenBroker

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

final class TokenTests: ClientTestCase, @unchecked Sendable {
    func testFirstLoginReturnsTheFiveStringsOfTheBroker() async throws {
        let token = try await newClient().sdkToken()

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
        _ = try await client.sdkToken()
        try await client.logout()

        let logins = try await environment.logins(uniqueId: "a+b&c=d/e?f#g%h")
        XCTAssertEqual(logins, 1)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "DELETE"])
        XCTAssertTrue(try XCTUnwrap(requests.first).url.contains("regRegion=FR"))
        XCTAssertFalse(try XCTUnwrap(requests.last).url.contains("regRegion"), "DELETE refuses parameters that it does not know")
    }

    func testAnUnchangedTokenComesFromTheStorageAfter304() async throws {
        let first = try await newClient().sdkToken()
        let second = try await newClient().sdkToken()

        XCTAssertEqual(first, second)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [200, 304])
        XCTAssertNotNil(requests.last?.headers["if-none-match"])
    }

    func testARefusedTokenIsReportedOnceAndReplaced() async throws {
        let client = newClient()
        let refused = try await client.sdkToken()
        try await client.tokenWasRefused()
        let next = try await client.sdkToken()
        let after = try await client.sdkToken()

        XCTAssertNotEqual(next.accessToken, refused.accessToken)
        XCTAssertEqual(after, next)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map { $0.url.contains("refused=") }, [false, true, false])
        XCTAssertEqual(requests.map { $0.headers["if-none-match"] != nil }, [false, false, true])
        let logins = try await logins()
        XCTAssertEqual(logins, 2)
    }

    func testARefusalSurvivesTheDeathOfTheProcessAndAFailedReport() async throws {
        let refused = try await newClient().sdkToken()
        try await newClient().tokenWasRefused()
        try await environment.network(.gone)
        _ = try await brokerError { try await newClient().sdkToken() }
        try await environment.network(.forward)

        let next = try await newClient().sdkToken()
        XCTAssertNotEqual(next.accessToken, refused.accessToken)
    }

    func testARefusalDuringARequestReplacesTheTokenOfThatRequest() async throws {
        let client = newClient()
        let refused = try await client.sdkToken()
        try await environment.network(.forward, answers: [.hang])
        let waiting = Task { try await client.sdkToken() }
        try await eventually { try await environment.requests().count == 1 }
        try await client.tokenWasRefused()

        let next = try await waiting.value
        XCTAssertNotEqual(next.accessToken, refused.accessToken)
    }

    func testNothingIsReportedWithoutAToken() async throws {
        let client = newClient()
        try await client.tokenWasRefused()
        _ = try await client.sdkToken()
        let requests = try await environment.requests()
        let request = try XCTUnwrap(requests.first)
        XCTAssertFalse(request.url.contains("refused="))
    }

    func testTheTokenOfTheLoginResponseNeedsNoRequest() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        try await newClient().useToken(body, etag: etag, userId: "alice")
        let token = try await newClient().sdkToken()
        let none = try await environment.requests()
        _ = try await newClient().sdkToken()

        XCTAssertEqual(token, try JSONDecoder().decode(SdkToken.self, from: body))
        XCTAssertEqual(none.count, 0)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [304])
    }

    func testTheTokenOfTheLoginResponseEndsARequestThatIsUnderWay() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        try await environment.network(.hang)
        let client = newClient()
        try await client.switchUser(to: "alice")
        let waiting = Task { try await client.sdkToken() }
        try await eventually { try await environment.requests().count == 1 }
        try await client.useToken(body, etag: etag, userId: "alice")

        let token = try await waiting.value
        XCTAssertEqual(token, try JSONDecoder().decode(SdkToken.self, from: body))
    }

    /// The client is busy, so that the read has not begun when the app hands in the token.
    @MainActor
    func testTheTokenOfTheLoginResponseIsNotLostIfAReadIsAboutToBegin() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        let slow = SlowStorage(storage)
        let client = newClient(storage: slow)
        try await client.switchUser(to: "alice")
        slow.close()
        let busy = Task { try await client.tokenWasRefused() }
        try await eventually { slow.isWaitedFor }
        var calls = 0
        let waiting = Task {
            calls += 1
            return try await client.sdkToken()
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

    func testARefusedTokenIsReplacedWithItsETagInAnyFormAndWithoutIt() async throws {
        let client = newClient()
        let changes: [(String) -> String?] = [{ "W/\($0)" }, { $0.replacingOccurrences(of: "\"", with: "") }, { _ in nil }]
        for change in changes {
            let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
            try await client.useToken(body, etag: change(XCTUnwrap(etag)), userId: "alice")
            let refused = try await client.sdkToken()
            try await client.tokenWasRefused()
            let next = try await client.sdkToken()
            XCTAssertNotEqual(next.accessToken, refused.accessToken)
        }
        let logins = try await logins()
        XCTAssertEqual(logins, 1 + changes.count)
    }

    func testAnExpiredTokenOfTheLoginResponseIsNotUsed() async throws {
        let expired = #"{"accessId":"1","accessToken":"old","expireTime":"1699349988","terminalId":"1","expend":"{}"}"#
        try await newClient().useToken(Data(expired.utf8), etag: "\"old\"", userId: "alice")
        let token = try await newClient().sdkToken()
        XCTAssertNotEqual(token.accessToken, "old")
    }

    func testABodyThatIsNoTokenIsRefusedWithoutQuotingIt() async throws {
        let error = try await brokerError { try await newClient().useToken(Data(#"{"accessToken":"secret"}"#.utf8), userId: "alice") }
        XCTAssertEqual(error.kind, .unexpectedAnswer)
        XCTAssertFalse("\(error)".contains("secret"))
    }

    func testABodyThatIsNoTokenSwitchesTheUserAllTheSame() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        let bob = try await environment.session(account: UUID().uuidString)
        let client = newClient(TestSessions(bob))
        // The SDK has a login, so it does not ask for this token.
        try await client.useToken(body, etag: etag, userId: "alice")
        _ = try await brokerError { try await client.useToken(Data("null".utf8), userId: "bob") }
        let token = try await client.sdkToken()

        let own = try await environment.tokenForTheCloud(session: bob, uniqueId: phone).body
        XCTAssertEqual(token, try JSONDecoder().decode(SdkToken.self, from: own))
    }

    func testTwoCallersAtOnceShareOneRequest() async throws {
        try await environment.vendor(["latencyMs": 300])
        let client = newClient()
        async let first = client.sdkToken()
        async let second = client.sdkToken()
        let (one, two) = try await (first, second)

        XCTAssertEqual(one, two)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testACancelledCallerReturnsAtOnceAndTheOtherGetsTheToken() async throws {
        try await environment.vendor(["latencyMs": 1_500])
        let client = newClient()
        let cancelled = Task { try await client.sdkToken() }
        let other = Task { try await client.sdkToken() }
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

    func testCancellingTheLastCallerEndsTheRequest() async throws {
        try await environment.network(.hang)
        let client = newClient(totalDeadline: 100, attemptTimeout: 100)
        let callers = [Task { try await client.sdkToken() }, Task { try await client.sdkToken() }]
        try await eventually { try await environment.requests().count == 1 }
        callers.forEach { $0.cancel() }
        for caller in callers {
            let result = await caller.result
            XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError) }
        }
        try await eventually { try await environment.seen().abandoned == 1 }

        try await environment.network(.forward)
        _ = try await client.sdkToken()
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

    func testNoDescriptionShowsTheSecret() async throws {
        let token = try await newClient().sdkToken()
        var dumped = ""
        dump(token, to: &dumped)
        for text in ["\(token)", String(reflecting: token), "\([token])", dumped] {
            XCTAssertFalse(text.contains(token.accessToken))
            XCTAssertTrue(text.contains(token.expireTime))
        }
    }
}
