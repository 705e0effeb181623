import Foundation
import XCTest

@testable import SdkTokenBroker

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

final class SessionAndErrorTests: ClientTestCase, @unchecked Sendable {
    func testA401RenewsTheSessionOnce() async throws {
        let sessions = TestSessions("ended", next: session)
        _ = try await newClient(sessions).sdkToken()

        XCTAssertEqual(sessions.renewals, 1)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [401, 200])
    }

    func testASecond401IsAnErrorThatAsksForALogin() async throws {
        let sessions = TestSessions("ended", next: "ended-too")
        let error = try await brokerError { try await newClient(sessions).sdkToken() }

        XCTAssertEqual(error.kind, .sessionNeeded)
        XCTAssertEqual([error.code, error.status.map(String.init)], ["session_invalid", "401"])
        XCTAssertNotNil(error.requestId)
        XCTAssertEqual(sessions.renewals, 1)
        XCTAssertFalse("\(error) \(error.localizedDescription)".contains("ended"))
        XCTAssertTrue(error.localizedDescription.contains("session_invalid"))
    }

    func testWhatTheAppsOwnLoginThrowsBecomesABrokerError() async throws {
        struct Locked: Error {}
        let thrown: [any Error] = [URLError(.dnsLookupFailed), Locked(), CancellationError(), BrokerError.noSession]
        let sessions = FailingSessions(session)
        var errors: [BrokerError] = []
        for reason in thrown {
            sessions.error = reason
            errors.append(try await brokerError { try await newClient(sessions).sdkToken() })
        }
        XCTAssertEqual(
            errors.map(\.code), ["network_unavailable", "session_unavailable", "session_unavailable", "no_session"])
        XCTAssertEqual(errors.map(\.kind), [.network, .temporary, .temporary, .sessionNeeded])
        XCTAssertEqual(errors.map(\.retryable), [true, true, true, false])
        XCTAssertEqual((errors[0].underlyingError as? URLError)?.code, .dnsLookupFailed)
        XCTAssertTrue(errors[1].underlyingError is Locked)
    }

    func testTheErrorHasTheSentenceOfTheBroker() async throws {
        let problem = #"{"code":"request_invalid","detail":"What is wrong","requestId":"r-1"}"#
        try await environment.network(.forward, answers: [.json(problem, status: 400)])
        let error = try await brokerError { try await newClient().sdkToken() }
        XCTAssertEqual(error.detail, "What is wrong")
        XCTAssertEqual("\(error)", "request_invalid, What is wrong, request r-1")
    }

    func testTheErrorHasNoSentenceOfAGatewayThatRepeatsTheSession() async throws {
        let problem = #"{"code":"bad_header","detail":"Authorization is: Bearer \#(session)"}"#
        try await environment.network(.forward, answers: [.json(problem, status: 400)])
        let error = try await brokerError { try await newClient().sdkToken() }
        XCTAssertEqual("\(error)", "bad_header")
        XCTAssertNil(error.detail)
    }

    func testADeadlineWithoutAnEndIsALongOne() async throws {
        _ = try await newClient(totalDeadline: .infinity, attemptTimeout: 1e300).sdkToken()
    }

    #if os(Linux)
        /// Runs this test once more, in a process that has to end.
        func testABrokerWithoutASchemeStopsTheAppAtItsStartAndSaysWhy() throws {
            let name = "SdkTokenBrokerTests.SessionAndErrorTests/testABrokerWithoutASchemeStopsTheAppAtItsStartAndSaysWhy"
            if ProcessInfo.processInfo.environment["SDK_TOKEN_BROKER_TEST_ADDRESS"] != nil {
                _ = newClient(broker: URL(string: "broker.example"))
                return
            }
            let settings = ["SDK_TOKEN_BROKER_TEST_ADDRESS": "1", "SWIFT_BACKTRACE": "enable=no"]
            let json = String(decoding: try JSONEncoder().encode(environment), as: UTF8.self)
            XCTAssertThrowsError(
                try run(
                    [CommandLine.arguments[0], name], in: Repository.root,
                    environment: settings.merging([TestEnvironment.inherited: json]) { $1 })
            ) { XCTAssertTrue("\($0)".contains("broker.example is not an absolute http or https URL"), "\($0)") }
        }
    #endif

    func testASessionWithALineBreakIsNotSent() async throws {
        let error = try await brokerError { try await newClient(TestSessions("a\r\nX: b")).sdkToken() }
        XCTAssertEqual(error.kind, .sessionNeeded)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 0)
    }

    func testA429IsRepeatedAfterRetryAfter() async throws {
        // The broker allows 60 requests per minute and account, and then one per second.
        var request = URLRequest(url: endpoint("sdk-token", of: environment.broker, query: ["uniqueId": phone]))
        request.setValue("Bearer \(session)", forHTTPHeaderField: "Authorization")
        for _ in 0..<61 { _ = try await URLSession.shared.data(for: request) }
        let startedAt = Date()
        _ = try await newClient().sdkToken()

        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [429, 200])
        XCTAssertGreaterThan(Date().timeIntervalSince(startedAt), 0.9)
    }

    func testAWaitBeyondTheDeadlineIsAnErrorAtOnce() async throws {
        let client = newClient(totalDeadline: 4)
        _ = try await client.sdkToken()
        // Three reports at once are allowed, then one each 20 s.
        for _ in 0..<3 {
            try await client.tokenWasRefused()
            _ = try await client.sdkToken()
        }
        try await client.tokenWasRefused()
        let startedAt = Date()
        let error = try await brokerError { try await client.sdkToken() }

        XCTAssertEqual(error.kind, .rateLimited)
        XCTAssertTrue(error.retryable)
        XCTAssertGreaterThan(error.retryAfter ?? 0, 4)
        XCTAssertLessThan(Date().timeIntervalSince(startedAt), 3)
    }

    func testTheTokenComesWhenTheVendorIsBack() async throws {
        try await environment.vendor(["fault": "http-500"])
        let client = newClient()
        let waiting = Task { try await client.sdkToken() }
        try await eventually { try await environment.requests().first?.status != nil }
        try await environment.vendor(["fault": "none"])
        _ = try await waiting.value

        let statuses = try await environment.requests().map(\.status)
        XCTAssertEqual(statuses.last, 200)
        XCTAssertGreaterThanOrEqual(statuses.first.flatMap { $0 } ?? 0, 500)
    }

    func testAVendorThatStaysDownIsATypedError() async throws {
        try await environment.vendor(["fault": "http-500"])
        let error = try await brokerError { try await newClient(totalDeadline: 4).sdkToken() }
        XCTAssertEqual(error.kind, .vendorTrouble)
        XCTAssertTrue(error.retryable)
    }

    func testAClosedAccountIsForTheUserToKnow() async throws {
        try await environment.vendor(["fault": "account-closed"])
        let error = try await brokerError { try await newClient().sdkToken() }
        XCTAssertEqual(error.kind, .forbidden)
        XCTAssertEqual(error.code, "account_disabled")
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testAMistakeOfTheAppIsNotRepeated() async throws {
        let client = SdkTokenClient(
            broker: environment.proxy, uniqueId: phone, regRegion: "Germany", sessions: TestSessions(session),
            storage: storage)
        let error = try await brokerError { try await client.sdkToken() }
        XCTAssertEqual(error.kind, .invalidRequest)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testErrorsWithoutRetryAfterAreRepeatedWithBackoff() async throws {
        let problem = #"{"code":"internal","retryable":true,"requestId":"r-1"}"#
        let answer = TestEnvironment.Answer.json(problem, status: 500)
        try await environment.network(.forward, answers: [answer, answer])
        let startedAt = Date()
        _ = try await newClient().sdkToken()

        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [500, 500, 200])
        // At least half of 1 s and half of 2 s.
        XCTAssertGreaterThan(Date().timeIntervalSince(startedAt), 1.4)
    }

    func testAnAnswerThatSaysRetryAfter0IsNotRepeatedWithoutAPause() async throws {
        let answer = TestEnvironment.Answer(status: 503, headers: ["retry-after": "0"])
        try await environment.network(.forward, answers: Array(repeating: answer, count: 1_000))
        _ = try await brokerError { try await newClient(totalDeadline: 3).sdkToken() }
        let requests = try await environment.requests()
        // The waits are at least 0.5 s, 1 s and 2 s.
        XCTAssertTrue((2...3).contains(requests.count), "\(requests.count) requests")
    }

    func testATokenThatIsRefusedAgainWhileTheClientReportsItCausesNoSecondRequest() async throws {
        let client = newClient()
        let first = try await client.sdkToken()
        try await client.tokenWasRefused()
        let answer = TestEnvironment.Answer(status: 503, headers: ["retry-after": "2"])
        try await environment.network(.forward, answers: [answer])
        let token = Task { try await client.sdkToken() }
        try await eventually { try await environment.requests().count == 1 }
        try await client.tokenWasRefused()
        try await Task.sleep(nanoseconds: 500_000_000)
        var requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [503])
        let second = try await token.value
        XCTAssertNotEqual(second.accessToken, first.accessToken)
        requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [503, 200])
    }

    private func retryAfter(_ header: String) throws -> TimeInterval? {
        let response = HTTPURLResponse(
            url: environment.proxy, statusCode: 503, httpVersion: nil, headerFields: ["Retry-After": header])
        return BrokerError(HTTPAnswer(body: Data(), response: try XCTUnwrap(response), session: session)).retryAfter
    }

    func testRetryAfterMayBeADateInEachFormOfHTTP() throws {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(secondsFromGMT: 0)
        let forms = ["EEE, dd MMM yyyy HH:mm:ss 'GMT'", "EEEE, dd-MMM-yy HH:mm:ss 'GMT'", "EEE MMM d HH:mm:ss yyyy"]
        for form in forms {
            format.dateFormat = form
            // No part of a second: a wait must not end before the date.
            let later = try XCTUnwrap(try retryAfter(format.string(from: Date() + 3_600)), form)
            XCTAssertTrue((3_590...3_600).contains(later), "\(form): \(later) s")
            XCTAssertEqual(later, later.rounded(), form)
            XCTAssertNil(try retryAfter(format.string(from: Date() - 3_600)), form)
        }
        XCTAssertGreaterThan(try retryAfter("Wed Jan  6 08:49:37 2094") ?? 0, 3_600)
    }

    func testARetryAfterThatCannotBeReadCountsAsNone() throws {
        for header in ["", "soon", "-1", "1.5", "2094-01-06T08:49:37Z", "Wed, 06 Jan 2094", "Wed, 31 Feb 2094 08:49:37 GMT"] {
            XCTAssertNil(try retryAfter(header), header)
        }
    }

    func testTheDeadlineEndsACallAlthoughTheAppsOwnLoginIgnoresTheCancellation() async throws {
        let sessions = SilentSessions()
        DispatchQueue.global().asyncAfter(deadline: .now() + 20) { sessions.end() }
        let error = try await brokerError { try await newClient(sessions, totalDeadline: 1).sdkToken() }
        XCTAssertEqual(error.code, "network_timeout")
        XCTAssertFalse(sessions.hasEnded, "the call waited for the session source")
    }

    func testATemporaryErrorIsNamedSoWhenTheDeadlineComesFirst() async throws {
        let problem = #"{"code":"store_unavailable","retryable":true,"requestId":"r-1"}"#
        let answer = TestEnvironment.Answer.json(problem, status: 503, headers: ["retry-after": "9"])
        try await environment.network(.forward, answers: [answer])
        let error = try await brokerError { try await newClient(totalDeadline: 3).sdkToken() }
        XCTAssertEqual(error.kind, .temporary)
        XCTAssertEqual(error.retryAfter, 9)
        XCTAssertEqual(error.requestId, "r-1")
    }

    func testARestartBehindALoadBalancerIsWaitedFor() async throws {
        let page = TestEnvironment.Answer(status: 503, headers: ["content-type": "text/html"], body: "<h1>503</h1>")
        try await environment.network(.forward, answers: [page])
        _ = try await newClient().sdkToken()
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [503, 200])
    }

    func testARedirectOfAProxyIsNotFollowed() async throws {
        try await environment.network(.portal)
        let error = try await brokerError { try await newClient().sdkToken() }

        XCTAssertEqual(error.kind, .unexpectedAnswer)
        XCTAssertEqual(error.status, 302)
        let seen = try await environment.seen()
        XCTAssertEqual(seen.portalVisits, 0, "the portal must not get the session")
        XCTAssertEqual(seen.requests.count, 1)
    }

    func testAPageInsteadOfTheBrokerIsAnErrorAndKeepsTheStoredToken() async throws {
        let token = try await newClient().sdkToken()
        try await environment.network(.page)
        let error = try await brokerError { try await newClient().sdkToken() }
        XCTAssertEqual(error.kind, .unexpectedAnswer)

        try await environment.network(.forward)
        let same = try await newClient().sdkToken()
        XCTAssertEqual(same, token)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [304])
    }

    func testWithoutNetworkTheAppLearnsItAtOnceAndTheNextCallWorks() async throws {
        try await environment.network(.gone)
        let startedAt = Date()
        let error = try await brokerError { try await newClient().sdkToken() }
        XCTAssertEqual(error.kind, .network)
        XCTAssertEqual(error.code, "network_unavailable")
        XCTAssertNil(error.status)
        XCTAssertTrue(error.underlyingError is URLError)
        XCTAssertLessThan(Date().timeIntervalSince(startedAt), 5)

        try await environment.network(.forward)
        _ = try await newClient().sdkToken()
    }

    func testARequestWithoutAnAnswerIsRepeatedUntilTheDeadline() async throws {
        try await environment.network(.hang)
        let client = newClient(totalDeadline: 3, attemptTimeout: 0.3)
        let error = try await brokerError { try await client.sdkToken() }
        XCTAssertEqual(error.code, "network_timeout")
        let requests = try await environment.requests()
        XCTAssertGreaterThan(requests.count, 1)

        try await environment.network(.forward, answers: [.hang])
        _ = try await client.sdkToken()
    }

    func testAnAnswerWithoutAnEndIsAnErrorAfter64KiB() async throws {
        try await environment.network(.endless)
        let error = try await brokerError { try await newClient(totalDeadline: 60, attemptTimeout: 60).sdkToken() }
        XCTAssertEqual(error.kind, .unexpectedAnswer)
        XCTAssertEqual(error.code, "unexpected_answer")
        XCTAssertFalse(error.retryable)
        try await eventually { try await environment.seen().abandoned == 1 }
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testAnAnswerOf64KiBIsReadAndALongerOneIsNot() async throws {
        for (length, isRead) in [(64 << 10, true), ((64 << 10) + 1, false)] {
            let start = #"{"accounts":[{"accessId":"1","nickName":"#
            let body = start + "\"" + String(repeating: "n", count: length - start.utf8.count - 5) + #""}]}"#
            XCTAssertEqual(body.utf8.count, length)
            try await environment.network(.forward, answers: [.json(body)])
            let directory = CloudShareDirectory(cloud: environment.proxy, sessions: TestSessions(session))
            let found = try? await directory.accounts(byAccessIds: ["1"])
            XCTAssertEqual(found?.count, isRead ? 1 : nil)
        }
    }
}
