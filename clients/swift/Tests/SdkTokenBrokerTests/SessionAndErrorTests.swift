import Foundation
import XCTest

@testable import SdkTokenBroker

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

final class SessionAndErrorTests: ClientTestCase, @unchecked Sendable {
    func testSessionRenewed() async throws {
        let sessions = TestSessions("ended", next: session)
        _ = try await newClient(sessions).sdkToken(userId: "alice")
        XCTAssertEqual(sessions.refused, ["ended"])
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [401, 200])
    }

    func testSessionRefusedTwice() async throws {
        let gateway: [TestEnvironment.Answer] = [
            .json(#"{"error":"no","retryable":true}"#, status: 401), .json(#"{"code":"E401","retryable":true}"#, status: 401),
        ]
        for answers in [[], gateway] {
            try await environment.network(.forward, answers: answers)
            let sessions = TestSessions("ended", next: "ended-too")
            let error = try await brokerError { try await newClient(sessions).sdkToken(userId: "alice") }
            XCTAssertEqual(error.kind, .sessionNeeded)
            XCTAssertEqual([error.code, error.status.map(String.init)], ["session_invalid", "401"])
            XCTAssertFalse(error.retryable)
            XCTAssertEqual(sessions.refused, ["ended"])
            XCTAssertFalse("\(error) \(error.localizedDescription)".contains("ended"))
            let requests = try await environment.requests()
            XCTAssertEqual(requests.map(\.status), [401, 401])
        }
    }

    /// The error of a client whose app throws this, as its answer to both questions.
    private func errors(ofAnAppThatThrows reason: any Error) async throws -> [BrokerError] {
        let (current, renewed) = (TestSessions(session), TestSessions("ended"))
        current.error = reason
        let error = try await brokerError { try await newClient(current).sdkToken(userId: "alice") }
        renewed.held = [.renewal]
        let client = newClient(renewed)
        let waiting = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { renewed.refused.count == 1 }
        renewed.error = reason
        renewed.held = []
        return [error, try await brokerError { try await waiting.value }]
    }

    func testNoSession() async throws {
        for reason in [BrokerError.noSession, BrokerError(kind: .sessionNeeded, code: "of-the-app")] {
            for error in try await errors(ofAnAppThatThrows: reason) {
                XCTAssertEqual(error.kind, .sessionNeeded)
                XCTAssertEqual(error.code, "session_unavailable")
                XCTAssertFalse(error.retryable)
            }
        }
    }

    func testSourceFails() async throws {
        struct HttpStatus503: Error {}
        for reason in [HttpStatus503(), CancellationError(), BrokerError(kind: .forbidden, code: "no")] as [any Error] {
            for error in try await errors(ofAnAppThatThrows: reason) {
                XCTAssertEqual(error.kind, .temporary)
                XCTAssertEqual(error.code, "session_unavailable")
                XCTAssertTrue(error.retryable)
                XCTAssertNotNil(error.underlyingError)
            }
        }
    }

    func testSourceWithoutNetwork() async throws {
        for error in try await errors(ofAnAppThatThrows: URLError(.dnsLookupFailed)) {
            XCTAssertEqual(error.kind, .network)
            XCTAssertEqual(error.code, "network_unavailable")
            XCTAssertTrue(error.retryable)
            XCTAssertEqual((error.underlyingError as? URLError)?.code, .dnsLookupFailed)
        }
    }

    /// A renewal that takes time while the first call ends. The app does not store the new session itself.
    private func endFirstCallDuringRenewal(
        totalDeadline: TimeInterval = 20, _ end: (SdkTokenClient, Task<SdkToken, any Error>) async throws -> Void
    ) async throws -> Result<SdkToken, any Error> {
        let sessions = TestSessions("ended", next: session, stores: false)
        sessions.held = [.renewal]
        let client = newClient(sessions, totalDeadline: totalDeadline)
        let first = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { sessions.refused.count == 1 }
        try await end(client, first)
        let result = await first.result
        try await Task.sleep(nanoseconds: 300_000_000)
        XCTAssertFalse(sessions.hasBeenCancelled)
        sessions.held = []
        _ = try await client.sdkToken(userId: "alice")
        XCTAssertEqual(sessions.refused, ["ended"])
        return result
    }

    func testRenewalOutlivesDeadline() async throws {
        let result = try await endFirstCallDuringRenewal(totalDeadline: 2) { _, _ in }
        XCTAssertThrowsError(try result.get()) {
            XCTAssertEqual(($0 as? BrokerError)?.kind, .network)
            XCTAssertEqual(($0 as? BrokerError)?.code, "network_timeout")
        }
    }

    func testRenewalOutlivesCaller() async throws {
        let result = try await endFirstCallDuringRenewal { $1.cancel() }
        XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError) }
    }

    func testRenewalOutlivesLogout() async throws {
        let result = try await endFirstCallDuringRenewal { client, _ in
            let isConfirmed = try await client.logout()
            XCTAssertFalse(isConfirmed)
        }
        XCTAssertThrowsError(try result.get()) { XCTAssertEqual(($0 as? BrokerError)?.kind, .loggedOut) }
    }

    func testOneRenewal() async throws {
        let sessions = TestSessions("ended", next: session, stores: false)
        sessions.held = [.renewal]
        let client = newClient(sessions)
        let directory = CloudShareDirectory(cloud: environment.proxy, client: client)
        let token = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { sessions.refused.count == 1 }
        try await environment.network(.forward, answers: [.json("{}", status: 401)])
        let people = Task { try await directory.accounts(byAccessIds: ["7"]) }
        try await eventually { try await environment.requests("POST").first?.status == 401 }
        try await Task.sleep(nanoseconds: 300_000_000)
        try await environment.network(.forward, answers: [.json(#"{"accounts":[]}"#), .json(#"{"accounts":[]}"#)])
        sessions.held = []
        _ = await (token.result, people.result)
        XCTAssertEqual(sessions.refused, ["ended"])
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map { $0.headers["authorization"] }, Array(repeating: "Bearer \(session)", count: 2))
    }

    /// The session of the account before is renewed for that account alone.
    func testOneRenewal_ofAnotherSessionWaitsForTheEndOfTheFirst() async throws {
        let sessions = TestSessions("ended", next: session, stores: false)
        sessions.held = [.renewal]
        let client = newClient(sessions)
        let first = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { sessions.refused.count == 1 }
        sessions.value = "ended-of-bob"
        let second = Task { try await client.sdkToken(userId: "bob") }
        try await eventually { try await environment.requests().map(\.status) == [401, 401] }
        try await Task.sleep(nanoseconds: 300_000_000)
        XCTAssertEqual(sessions.refused, ["ended"])
        sessions.held = []
        _ = await (first.result, second.result)
        XCTAssertEqual(sessions.refused, ["ended", "ended-of-bob"])
    }

    func testNewerSessionKnown() async throws {
        let sessions = TestSessions("ended", next: session, stores: false)
        let client = newClient(sessions)
        let token = try await client.sdkToken(userId: "alice")
        let same = try await client.sdkToken(userId: "alice")
        XCTAssertEqual(same, token)
        XCTAssertEqual(sessions.refused, ["ended"])
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [401, 200, 401, 304])
    }

    func testNewerSessionKnown_isRenewedIfItHasEndedToo() async throws {
        let sessions = TestSessions("ended", next: session, stores: false)
        let client = newClient(sessions)
        _ = try await client.sdkToken(userId: "alice")
        let refusal = TestEnvironment.Answer.json(#"{"code":"session_expired"}"#, status: 401)
        try await environment.network(.forward, answers: [refusal, refusal])
        _ = try await client.sdkToken(userId: "alice")
        XCTAssertEqual(sessions.refused, ["ended", session])
    }

    func testTheErrorHasTheSentenceOfTheBroker() async throws {
        let problem = #"{"code":"request_invalid","detail":"What is wrong","requestId":"r-1"}"#
        try await environment.network(.forward, answers: [.json(problem, status: 400)])
        let error = try await brokerError { try await newClient().sdkToken(userId: "alice") }
        XCTAssertEqual(error.detail, "What is wrong")
        XCTAssertEqual("\(error)", "request_invalid, What is wrong, request r-1")
    }

    func testNoSecrets_inTheErrorOfAGatewayThatRepeatsTheSession() async throws {
        let problem = #"{"code":"bad_header","detail":"Authorization is: Bearer \#(session)"}"#
        try await environment.network(.forward, answers: [.json(problem, status: 400)])
        let error = try await brokerError { try await newClient().sdkToken(userId: "alice") }
        XCTAssertEqual("\(error)", "bad_header")
        XCTAssertNil(error.detail)
    }

    #if os(Linux)
        /// Runs this test once more for each mistake, in a process that has to end.
        func testWrongArguments() throws {
            let variable = "SDK_TOKEN_BROKER_TEST_MISTAKE"
            let mistakes: [(message: String, make: () -> SdkTokenClient)] = [
                ("broker.example is not an absolute http or https URL", { self.newClient(broker: URL(string: "broker.example")) }),
                ("uniqueId must have 1 to 128 visible ASCII characters", { self.newClient(uniqueId: "..") }),
                ("totalDeadline is inf s, but must be more than 0 s and at most 600 s", { self.newClient(totalDeadline: .infinity) }),
                ("attemptTimeout is 0.0 s, but must be more than 0 s and at most 600 s", { self.newClient(attemptTimeout: 0) }),
            ]
            if let index = ProcessInfo.processInfo.environment[variable].flatMap(Int.init) {
                _ = mistakes[index].make()
                return
            }
            let json = String(decoding: try JSONEncoder().encode(environment), as: UTF8.self)
            for (index, mistake) in mistakes.enumerated() {
                XCTAssertThrowsError(
                    try run(
                        [CommandLine.arguments[0], "SdkTokenBrokerTests.SessionAndErrorTests/testWrongArguments"], in: Repository.root,
                        environment: [variable: "\(index)", "SWIFT_BACKTRACE": "enable=no", TestEnvironment.inherited: json])
                ) { XCTAssertTrue("\($0)".contains(mistake.message), "\($0)") }
            }
            _ = newClient(totalDeadline: 600, attemptTimeout: 600)
        }
    #endif

    func testSessionUnsendable() async throws {
        let error = try await brokerError { try await newClient(TestSessions("a\r\nX: b")).sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .sessionNeeded)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 0)
    }

    func testRetryAfter() async throws {
        // The broker allows 60 requests per minute and account, and then one per second.
        var request = URLRequest(url: endpoint("sdk-token", of: environment.broker, query: ["uniqueId": phone]))
        request.setValue("Bearer \(session)", forHTTPHeaderField: "Authorization")
        for _ in 0..<61 { _ = try await URLSession.shared.data(for: request) }
        let startedAt = Date()
        _ = try await newClient().sdkToken(userId: "alice")

        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [429, 200])
        XCTAssertGreaterThan(Date().timeIntervalSince(startedAt), 0.9)
    }

    func testWaitBeyondDeadline() async throws {
        let client = newClient(totalDeadline: 4)
        _ = try await client.sdkToken(userId: "alice")
        // Three reports at once are allowed, then one each 20 s.
        for _ in 0..<3 {
            try await client.tokenWasRefused()
            _ = try await client.sdkToken(userId: "alice")
        }
        try await client.tokenWasRefused()
        let startedAt = Date()
        let error = try await brokerError { try await client.sdkToken(userId: "alice") }

        XCTAssertEqual(error.kind, .rateLimited)
        XCTAssertTrue(error.retryable)
        XCTAssertGreaterThan(error.retryAfter ?? 0, 4)
        XCTAssertLessThan(Date().timeIntervalSince(startedAt), 3)
    }

    func testTheTokenComesWhenTheVendorIsBack() async throws {
        try await environment.vendor(["fault": "http-500"])
        let client = newClient()
        let waiting = Task { try await client.sdkToken(userId: "alice") }
        try await eventually { try await environment.requests().first?.status != nil }
        try await environment.vendor(["fault": "none"])
        _ = try await waiting.value

        let statuses = try await environment.requests().map(\.status)
        XCTAssertEqual(statuses.last, 200)
        XCTAssertGreaterThanOrEqual(statuses.first.flatMap { $0 } ?? 0, 500)
    }

    func testAVendorThatStaysDownIsATypedError() async throws {
        try await environment.vendor(["fault": "http-500"])
        let error = try await brokerError { try await newClient(totalDeadline: 4).sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .vendorTrouble)
        XCTAssertTrue(error.retryable)
    }

    func testNotRetryable() async throws {
        try await environment.vendor(["fault": "account-closed"])
        let error = try await brokerError { try await newClient().sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .forbidden)
        XCTAssertEqual(error.code, "account_disabled")
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testNotRetryable_becauseOfAMistakeOfTheApp() async throws {
        let client = SdkTokenClient(
            broker: environment.proxy, uniqueId: phone, regRegion: "Germany", sessions: TestSessions(session),
            storage: storage)
        let error = try await brokerError { try await client.sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .invalidRequest)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testRetryAfterUnusable_becauseThereIsNone() async throws {
        let problem = #"{"code":"internal","retryable":true,"requestId":"r-1"}"#
        let answer = TestEnvironment.Answer.json(problem, status: 500)
        try await environment.network(.forward, answers: [answer, answer])
        let startedAt = Date()
        _ = try await newClient().sdkToken(userId: "alice")

        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [500, 500, 200])
        // At least half of 1 s and half of 2 s.
        XCTAssertGreaterThan(Date().timeIntervalSince(startedAt), 1.4)
    }

    func testRetryAfterUnusable_becauseItIs0() async throws {
        let answer = TestEnvironment.Answer(status: 503, headers: ["retry-after": "0"])
        try await environment.network(.forward, answers: Array(repeating: answer, count: 1_000))
        _ = try await brokerError { try await newClient(totalDeadline: 3).sdkToken(userId: "alice") }
        let requests = try await environment.requests()
        // The waits are at least 0.5 s, 1 s and 2 s.
        XCTAssertTrue((2...3).contains(requests.count), "\(requests.count) requests")
    }

    func testATokenThatIsRefusedAgainWhileTheClientReportsItCausesNoSecondRequest() async throws {
        let client = newClient()
        let first = try await client.sdkToken(userId: "alice")
        try await client.tokenWasRefused()
        let answer = TestEnvironment.Answer(status: 503, headers: ["retry-after": "2"])
        try await environment.network(.forward, answers: [answer])
        let token = Task { try await client.sdkToken(userId: "alice") }
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

    func testRetryAfter_asADateInEachFormOfHTTP() throws {
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

    func testRetryAfterUnusable() throws {
        for header in ["", "soon", "-1", "1.5", "2094-01-06T08:49:37Z", "Wed, 06 Jan 2094", "Wed, 31 Feb 2094 08:49:37 GMT"] {
            XCTAssertNil(try retryAfter(header), header)
        }
    }

    func testTheDeadlineEndsACallAlthoughTheAppsOwnLoginNeverAnswers() async throws {
        let sessions = TestSessions(session)
        sessions.held = [.session]
        let error = try await brokerError { try await newClient(sessions, totalDeadline: 1).sdkToken(userId: "alice") }
        XCTAssertEqual(error.code, "network_timeout")
        sessions.held = []
    }

    func testWaitBeyondDeadline_namesTheTemporaryError() async throws {
        let problem = #"{"code":"store_unavailable","retryable":true,"requestId":"r-1"}"#
        let answer = TestEnvironment.Answer.json(problem, status: 503, headers: ["retry-after": "9"])
        try await environment.network(.forward, answers: [answer])
        let error = try await brokerError { try await newClient(totalDeadline: 3).sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .temporary)
        XCTAssertEqual(error.retryAfter, 9)
        XCTAssertEqual(error.requestId, "r-1")
    }

    func testNoReplica() async throws {
        let pages = [502, 503, 504].map { TestEnvironment.Answer(status: $0, headers: ["content-type": "text/html"], body: "<h1>No</h1>") }
        try await environment.network(.forward, answers: pages)
        _ = try await newClient().sdkToken(userId: "alice")
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [502, 503, 504, 200])
    }

    func testForeignAnswer_aRedirect() async throws {
        try await environment.network(.portal)
        let error = try await brokerError { try await newClient().sdkToken(userId: "alice") }

        XCTAssertEqual(error.kind, .unexpectedAnswer)
        XCTAssertEqual(error.status, 302)
        let seen = try await environment.seen()
        XCTAssertEqual(seen.portalVisits, 0, "the portal must not get the session")
        XCTAssertEqual(seen.requests.count, 1)
    }

    func testForeignAnswer() async throws {
        let token = try await newClient().sdkToken(userId: "alice")
        for answer in [TestEnvironment.Answer(headers: ["content-type": "text/html"], body: "<h1>Wi-Fi</h1>"), .json(#"{"accessToken":"1"}"#)] {
            try await environment.network(.forward, answers: [answer])
            let error = try await brokerError { try await newClient().sdkToken(userId: "alice") }
            XCTAssertEqual(error.kind, .unexpectedAnswer)
        }

        try await environment.network(.forward)
        let same = try await newClient().sdkToken(userId: "alice")
        XCTAssertEqual(same, token)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [304])
    }

    func testNoNetwork() async throws {
        try await environment.network(.gone)
        let startedAt = Date()
        let error = try await brokerError { try await newClient().sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .network)
        XCTAssertEqual(error.code, "network_unavailable")
        XCTAssertNil(error.status)
        XCTAssertTrue(error.underlyingError is URLError)
        XCTAssertLessThan(Date().timeIntervalSince(startedAt), 5)

        try await environment.network(.forward)
        _ = try await newClient().sdkToken(userId: "alice")
    }

    func testAttemptTimeout() async throws {
        try await environment.network(.hang)
        let client = newClient(totalDeadline: 3, attemptTimeout: 0.3)
        let error = try await brokerError { try await client.sdkToken(userId: "alice") }
        XCTAssertEqual(error.code, "network_timeout")
        let requests = try await environment.requests()
        XCTAssertGreaterThan(requests.count, 1)

        try await environment.network(.forward, answers: [.hang])
        _ = try await client.sdkToken(userId: "alice")
    }

    func testAnswerTooLong() async throws {
        try await environment.network(.endless)
        let error = try await brokerError { try await newClient(totalDeadline: 60, attemptTimeout: 60).sdkToken(userId: "alice") }
        XCTAssertEqual(error.kind, .unexpectedAnswer)
        XCTAssertEqual(error.code, "unexpected_answer")
        XCTAssertFalse(error.retryable)
        try await eventually { try await environment.seen().abandoned == 1 }
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testAnswerTooLong_butOneOf64KiBIsRead() async throws {
        for (length, isRead) in [(64 << 10, true), ((64 << 10) + 1, false)] {
            let start = #"{"accounts":[{"accessId":"1","nickName":"#
            let body = start + "\"" + String(repeating: "n", count: length - start.utf8.count - 5) + #""}]}"#
            XCTAssertEqual(body.utf8.count, length)
            try await environment.network(.forward, answers: [.json(body)])
            let directory = CloudShareDirectory(cloud: environment.proxy, client: newClient())
            let found = try? await directory.accounts(byAccessIds: ["1"])
            XCTAssertEqual(found?.count, isRead ? 1 : nil)
        }
    }
}
