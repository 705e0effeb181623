import Foundation
import XCTest

@testable import SdkTokenBroker

final class LogoutTests: ClientTestCase, @unchecked Sendable {
    func testALogoutMakesTheBrokerForgetTheToken() async throws {
        let client = newClient()
        let before = try await client.sdkToken()
        let isDone = try await client.logout()
        let after = try await client.sdkToken()

        XCTAssertTrue(isDone)
        XCTAssertNotEqual(after.accessToken, before.accessToken)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "DELETE", "GET"])
        XCTAssertEqual(requests.map(\.status), [200, 204, 200])
        XCTAssertNil(requests.last?.headers["if-none-match"], "the next account must not inherit the token")
    }

    func testALogoutWithoutNetworkIsFinishedAtTheNextStartWithItsOwnSession() async throws {
        _ = try await newClient().sdkToken()
        try await environment.network(.gone)
        let isDone = try await newClient().logout()
        XCTAssertFalse(isDone)
        let stillOffline = await newClient().finishLogout()
        XCTAssertFalse(stillOffline)
        try await environment.network(.forward)

        // Another account is signed in at the next start.
        let other = try await environment.session(account: UUID().uuidString)
        let isFinished = await newClient(TestSessions(other)).finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["DELETE"])
        XCTAssertEqual(requests.first?.headers["authorization"], "Bearer \(session)")

        _ = try await newClient().sdkToken()
        let logins = try await logins()
        XCTAssertEqual(logins, 2)
    }

    func testALogoutIsFinishedBeforeTheNextTokenIsFetched() async throws {
        _ = try await newClient().sdkToken()
        try await environment.network(.gone)
        _ = try await newClient().logout()
        let error = try await brokerError { try await newClient().sdkToken() }
        XCTAssertEqual(error.kind, .network)
        try await environment.network(.forward)

        let client = newClient()
        async let finished = client.finishLogout()
        async let token = client.sdkToken()
        _ = try await (finished, token)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["DELETE", "GET"])
    }

    func testAPageOfAProxyDoesNotEndALogout() async throws {
        try await environment.network(.page)
        let isDone = try await newClient().logout()
        XCTAssertFalse(isDone)
        try await environment.network(.forward)
        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALogoutRenewsTheSessionOnce() async throws {
        let isDone = try await newClient(TestSessions("ended", next: session)).logout()
        XCTAssertTrue(isDone)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [401, 204])
    }

    func testALogoutRenewsTheSessionAlsoIfARepeatedLogoutWasRefusedWithIt() async throws {
        _ = try await newClient().sdkToken()
        try await environment.network(.gone)
        try await newClient().logout()
        let problem = #"{"code":"session_expired","retryable":false}"#
        try await environment.network(.forward, answers: [.json(problem, status: 401)])

        let sessions = TestSessions(session, next: session)
        let slow: HTTPTransport = { request in
            let answer = try await directTransport(request)
            try await Task.sleep(nanoseconds: 500_000_000)
            return answer
        }
        let client = SdkTokenClient(
            broker: environment.proxy, uniqueId: phone, sessions: sessions, storage: storage, transport: slow)
        async let finished = client.finishLogout()
        try await eventually { try await environment.requests("DELETE").count == 1 }
        let isDone = try await client.logout()
        XCTAssertTrue(isDone)
        _ = await finished
        XCTAssertEqual(sessions.renewals, 1)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [401, 204])
    }

    func testALogoutWhoseSessionHasEndedIsAnErrorAndIsNotRepeated() async throws {
        let error = try await brokerError { try await newClient(TestSessions("ended", next: "ended-too")).logout() }
        XCTAssertEqual(error.kind, .sessionNeeded)
        try await environment.network(.forward)
        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.count, 0)
    }

    func testAStoredLogoutWhoseSessionHasEndedDoesNotHoldUpTheNextAccount() async throws {
        try await environment.network(.gone)
        _ = try await newClient(TestSessions("ended")).logout()
        try await environment.network(.forward)
        _ = try await newClient().sdkToken()
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.status), [401, 200])
    }

    func testALogoutEndsARequestThatIsUnderWay() async throws {
        try await environment.network(.forward, answers: [.hang])
        let client = newClient()
        let waiting = Task { try await client.sdkToken() }
        try await eventually { try await environment.requests().count == 1 }
        try await client.logout()

        let error = try await brokerError { try await waiting.value }
        XCTAssertEqual(error.code, "logged_out")
        XCTAssertNil(storage.value(forKey: "sdk-token"))
    }

    func testAStoredLogoutThatSomethingElseThanTheBrokerRefusesIsDroppedAndDoesNotHoldUpTheNextAccount() async throws {
        let page = TestEnvironment.Answer(status: 405, headers: ["content-type": "text/html"], body: "<h1>Blocked</h1>")
        for refusal in [page, .json(#"{"message":"no"}"#, status: 401)] {
            try await environment.network(.gone)
            let isDone = try await newClient().logout()
            XCTAssertFalse(isDone)
            try await environment.network(.forward, answers: [refusal])
            let other = try await environment.session(account: UUID().uuidString)
            _ = try await newClient(TestSessions(other)).sdkToken()
            let requests = try await environment.seen().requests
            XCTAssertEqual(requests.map(\.method), ["DELETE", "GET"])
            let isFinished = await newClient().finishLogout()
            XCTAssertTrue(isFinished)
        }
    }

    func testAStoredLogoutIsKeptWhileSomethingElseThanTheBrokerAnswersThatItIsBusy() async throws {
        for status in [429, 502] {
            let page = TestEnvironment.Answer(status: status, headers: ["content-type": "text/html"], body: "Later")
            try await environment.network(.forward, answers: [page])
            let isDone = try await newClient().logout()
            XCTAssertFalse(isDone)
        }
        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.last?.status, 204)
    }

    func testALogoutAlsoRenewsASessionThatAGatewayRefuses() async throws {
        let refusal = TestEnvironment.Answer.json(#"{"message":"no"}"#, status: 401)
        try await environment.network(.forward, answers: [refusal])
        let isDone = try await newClient(TestSessions("ended", next: session)).logout()
        XCTAssertTrue(isDone)
    }

    func testASessionSourceThatNeverAnswersDoesNotHoldUpALogout() async throws {
        _ = try await newClient().sdkToken()
        let sessions = SilentSessions()
        DispatchQueue.global().asyncAfter(deadline: .now() + 20) { sessions.end() }
        let error = try await brokerError { try await newClient(sessions, totalDeadline: 1).logout() }
        XCTAssertEqual(error.code, "network_timeout")
        XCTAssertFalse(sessions.hasEnded, "the call waited for the session source")
        XCTAssertNil(storage.value(forKey: "sdk-token"))
    }

    /// The result of a logout in a task that is cancelled before.
    private func cancelledLogout(_ client: SdkTokenClient) async -> Result<Bool, any Error> {
        await Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await client.logout()
        }.result
    }

    func testALogoutWhoseCallerIsCancelledIsStoredAndFinishedLater() async throws {
        _ = try await newClient().sdkToken()
        try await environment.network(.gone)
        _ = await cancelledLogout(newClient())
        XCTAssertNil(storage.value(forKey: "sdk-token"))
        try await environment.network(.forward)
        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALogoutWhoseCallerIsCancelledRenewsTheSession() async throws {
        _ = await cancelledLogout(newClient(TestSessions("ended", next: session)))
        _ = await newClient().finishLogout()
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [401, 204])
    }

    func testATokenIsWaitedForIfTheBrokerIsBusyWithTheStoredLogout() async throws {
        try await environment.network(.gone)
        _ = try await newClient().logout()
        let problem = #"{"code":"shutting_down","retryable":true}"#
        let busy = TestEnvironment.Answer.json(problem, status: 503, headers: ["retry-after": "1"])
        try await environment.network(.forward, answers: [busy])
        _ = try await newClient().sdkToken()
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["DELETE", "DELETE", "GET"])
    }

    func testALogoutThatEndsAFetchDoesNotWaitForTheStoredLogoutOfThatFetch() async throws {
        try await environment.network(.gone)
        _ = try await newClient().logout()
        let other = try await environment.session(account: UUID().uuidString)
        let client = newClient(TestSessions(other), totalDeadline: 60)
        let problem = #"{"code":"shutting_down","retryable":true}"#
        let busy = TestEnvironment.Answer.json(problem, status: 503, headers: ["retry-after": "50"])
        try await environment.network(.forward, answers: [busy])
        let waiting = Task { try await client.sdkToken() }
        try await eventually { try await environment.requests("DELETE").first?.status == 503 }
        let startedAt = Date()
        let isDone = try await client.logout()

        XCTAssertTrue(isDone)
        XCTAssertLessThan(Date().timeIntervalSince(startedAt), 25)
        let error = try await brokerError { try await waiting.value }
        XCTAssertEqual(error.code, "logged_out")
    }

    func testALogoutThatTheBrokerCannotAnswerNowIsTriedOnceAndStored() async throws {
        let problem = #"{"code":"store_unavailable","retryable":true,"requestId":"r-1"}"#
        let answer = TestEnvironment.Answer.json(problem, status: 503, headers: ["retry-after": "1"])
        try await environment.network(.forward, answers: [answer])
        let isDone = try await newClient().logout()
        XCTAssertFalse(isDone)
        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [503, 204])
    }

    func testATokenHandedInAfterALogoutWithoutNetworkIsSafeFromThatLogout() async throws {
        _ = try await newClient().sdkToken()
        try await environment.network(.gone)
        _ = try await newClient().logout()
        try await environment.network(.forward)

        // The same user logs in again. The cloud's response contains the token.
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        try await newClient().useToken(body, etag: etag, userId: "alice")
        let token = try await newClient().sdkToken()
        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let after = try await newClient().sdkToken()
        XCTAssertEqual(after, token)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET"])
        XCTAssertEqual(requests.map(\.status), [304])
    }

    func testATokenHandedInByAnotherUserDoesNotEndTheStoredLogoutOfTheFirst() async throws {
        _ = try await newClient().sdkToken()
        try await environment.network(.gone)
        _ = try await newClient().logout()
        try await environment.network(.forward)

        let other = try await environment.session(account: UUID().uuidString)
        let (body, etag) = try await environment.tokenForTheCloud(session: other, uniqueId: phone)
        try await newClient(TestSessions(other)).useToken(body, etag: etag, userId: "bob")
        let token = try await newClient(TestSessions(other)).sdkToken()
        let isFinished = await newClient(TestSessions(other)).finishLogout()
        XCTAssertTrue(isFinished)
        let after = try await newClient(TestSessions(other)).sdkToken()
        XCTAssertEqual(after, token)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["DELETE", "GET"])
        XCTAssertEqual(requests.first?.headers["authorization"], "Bearer \(session)")
    }

    func testIfTheAppCannotGetASessionWithoutNetworkTheLastOneIsStoredWithTheLogout() async throws {
        let sessions = FailingSessions(session)
        let client = newClient(sessions)
        _ = try await client.sdkToken()
        try await environment.network(.gone)
        sessions.error = URLError(.notConnectedToInternet)
        let isDone = try await client.logout()
        XCTAssertFalse(isDone)
        XCTAssertNil(storage.value(forKey: "sdk-token"))
        try await environment.network(.forward)

        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
        // The logout has used it up: the next user must not log out with it.
        let error = try await brokerError { try await client.logout() }
        XCTAssertEqual(error.kind, .network)
    }

    func testIfTheAppHasHadNoSessionSinceItsStartTheTokenIsForgottenAndTheErrorSaysWhy() async throws {
        _ = try await newClient().sdkToken()
        let sessions = FailingSessions(session)
        sessions.error = BrokerError.noSession
        let error = try await brokerError { try await newClient(sessions).logout() }
        XCTAssertEqual(error.kind, .sessionNeeded)
        XCTAssertEqual(error.code, "no_session")
        XCTAssertNil(storage.value(forKey: "sdk-token"))
    }

    func testWhileTheSessionSourceHangsTheTokenIsForgottenAndTheLogoutIsStoredAndTheNextUserIsSafe() async throws {
        let sessions = HangingSessions(session)
        let client = newClient(sessions)
        try await client.switchUser(to: "alice")
        _ = try await client.sdkToken()
        sessions.hang()
        let logout = Task { try await client.logout() }
        try await eventually { sessions.waiting == 1 }
        XCTAssertNil(storage.value(forKey: "sdk-token"))
        XCTAssertEqual(storage.value(forKey: "sdk-token.logouts")?.contains(session), true)

        let bob = try await environment.session(account: UUID().uuidString)
        try await client.switchUser(to: "bob")
        let isDone = try await logout.value
        XCTAssertTrue(isDone)
        sessions.answer(bob)
        let token = try await client.sdkToken()
        let same = try await newClient(TestSessions(bob)).sdkToken()
        XCTAssertEqual(same, token)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "DELETE", "GET", "GET"])
        XCTAssertEqual(requests.map(\.status), [200, 204, 200, 304])
        XCTAssertEqual(requests[1].headers["authorization"], "Bearer \(session)")
        XCTAssertEqual(requests[2].headers["authorization"], "Bearer \(bob)")
    }

    func testALogoutThatWaitsForItsFirstSessionEndsWhenAnotherUserComesAndUsesNoSessionOfThatUser() async throws {
        _ = try await newClient().sdkToken()
        let sessions = HangingSessions(session)
        let client = newClient(sessions, totalDeadline: 60)
        sessions.hang()
        let logout = Task { try await client.logout() }
        try await eventually { sessions.waiting == 1 }
        XCTAssertNil(storage.value(forKey: "sdk-token"))
        let switchedAt = Date()
        try await client.switchUser(to: "bob")
        let error = try await brokerError { try await logout.value }
        XCTAssertEqual(error.code, "logged_out")
        XCTAssertLessThan(Date().timeIntervalSince(switchedAt), 30, "the logout waited for the session source")

        sessions.answer(try await environment.session(account: UUID().uuidString))
        _ = try await client.sdkToken()
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "GET"])
    }

    func testASessionThatIsRenewedAfterAnotherUserHasComeIsNotUsedForTheLogout() async throws {
        let sessions = HangingSessions("ended", hangsOnRenewal: true)
        let client = newClient(sessions, totalDeadline: 60)
        try await client.switchUser(to: "alice")
        let logout = Task { try await client.logout() }
        try await eventually { sessions.waiting == 1 }
        try await client.switchUser(to: "bob")
        let error = try await brokerError { try await logout.value }
        XCTAssertEqual(error.status, 401)

        sessions.answer(try await environment.session(account: UUID().uuidString))
        _ = try await client.sdkToken()
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.status), [401, 200])
        XCTAssertEqual(requests.map(\.method), ["DELETE", "GET"])
    }

    func testTheTokenOfAnotherUsersLoginKeepsAPendingLogoutOfAnUnknownAccount() async throws {
        let client = newClient()
        try await client.switchUser(to: "alice")
        try await environment.network(.gone)
        let isDone = try await client.logout()
        XCTAssertFalse(isDone)
        try await environment.network(.forward)

        let other = try await environment.session(account: UUID().uuidString)
        let (body, etag) = try await environment.tokenForTheCloud(session: other, uniqueId: phone)
        try await newClient(TestSessions(other)).useToken(body, etag: etag, userId: "bob")
        let isFinished = await newClient(TestSessions(other)).finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map { $0.headers["authorization"] }, ["Bearer \(session)"])
    }

    func testTheTokenOfTheSameUsersLoginDropsAPendingLogoutAlthoughTheAccountWasUnknown() async throws {
        let client = newClient()
        try await client.switchUser(to: "alice")
        try await environment.network(.gone)
        _ = try await client.logout()
        try await environment.network(.forward)

        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        try await newClient().useToken(body, etag: etag, userId: "alice")
        let isFinished = await newClient().finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.count, 0)
    }

    func testATokenOfTheSameUserWaitsForTheLogoutButNotForTheSessionThatTheLogoutAsksFor() async throws {
        let sessions = HangingSessions(session)
        let client = newClient(sessions, totalDeadline: 60)
        try await client.switchUser(to: "alice")
        _ = try await client.sdkToken()
        sessions.hang()
        let logout = Task { try await client.logout() }
        try await eventually { sessions.waiting == 1 }
        let returnedAt = Date()
        try await client.switchUser(to: "alice")
        let token = Task { try await client.sdkToken() }
        let isDone = try await logout.value
        XCTAssertTrue(isDone)
        XCTAssertLessThan(Date().timeIntervalSince(returnedAt), 30, "the logout waited for the session source")
        sessions.answer(session)
        _ = try await token.value
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["GET", "DELETE", "GET"])
    }

    func testALogoutStoresTheNewerSessionOfTheSourceInsteadOfTheLastOne() async throws {
        let newer = try await environment.session(account: UUID().uuidString)
        let sessions = TestSessions(session, next: newer)
        let client = newClient(sessions)
        _ = try await client.sdkToken()
        _ = try await sessions.renewedSession()
        try await environment.network(.gone)
        _ = try await client.logout()
        let pending = try XCTUnwrap(storage.value(forKey: "sdk-token.logouts"))
        XCTAssertTrue(pending.contains(newer))
        XCTAssertFalse(pending.contains(session))
    }

    func testALogoutThatCannotBeStoredStillForgetsTheTokenAndReachesTheBroker() async throws {
        let failing = FailingStorage(storage)
        let client = newClient(storage: failing)
        _ = try await client.sdkToken()
        failing.fails = [.set]
        let isDone = try await client.logout()
        XCTAssertTrue(isDone)
        XCTAssertNil(storage.value(forKey: "sdk-token"))
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALogoutThatNeitherTheBrokerNorTheStorageTakesIsAnErrorAndIsRepeatedByThisProcess() async throws {
        let failing = FailingStorage(storage)
        let client = newClient(storage: failing)
        _ = try await client.sdkToken()
        try await environment.network(.gone)
        failing.fails = [.set]
        do {
            _ = try await client.logout()
            XCTFail("nothing was thrown")
        } catch { XCTAssertTrue(error is FailingStorage.Failure, "\(error)") }
        XCTAssertNil(storage.value(forKey: "sdk-token"))
        try await environment.network(.forward)
        let isFinished = await client.finishLogout()
        XCTAssertTrue(isFinished)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALogoutThatCannotDeleteTheStoredTokenReachesTheBrokerAndIsAnError() async throws {
        let failing = FailingStorage(storage)
        let client = newClient(storage: failing)
        _ = try await client.sdkToken()
        failing.fails = [.remove]
        do {
            _ = try await client.logout()
            XCTFail("nothing was thrown")
        } catch { XCTAssertTrue(error is FailingStorage.Failure, "\(error)") }
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALogoutThatTheStorageTakesButDoesNotReadAgainReachesTheBroker() async throws {
        let failing = FailingStorage(storage)
        let sessions = HangingSessions(session)
        let client = newClient(sessions, storage: failing)
        _ = try await client.sdkToken()
        sessions.hang()
        async let logout = client.logout()
        try await eventually { sessions.waiting == 1 }
        failing.fails = [.get]
        sessions.answer(session)
        do {
            _ = try await logout
            XCTFail("nothing was thrown")
        } catch { XCTAssertTrue(error is FailingStorage.Failure, "\(error)") }
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALogoutRenewsTheSessionAlsoIfTheStorageDoesNotTakeTheRefusal() async throws {
        let failing = FailingStorage(storage)
        let sessions = TestSessions(session, next: session)
        let client = newClient(sessions, storage: failing)
        _ = try await client.sdkToken()
        let problem = #"{"code":"session_expired","retryable":false}"#
        try await environment.network(.forward, answers: [.json(problem, status: 401)])
        failing.fails = [.get, .set]
        _ = try? await client.logout()
        XCTAssertEqual(sessions.renewals, 1)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [401, 204])
    }

    func testWhileTheStorageIsLockedEachCallThrowsItsErrorAndALogoutStillReachesTheBroker() async throws {
        let locked = LockedStorage()
        let client = SdkTokenClient(
            broker: environment.proxy, uniqueId: phone, sessions: TestSessions(session), storage: locked)
        for call in [{ _ = try await client.logout() }, { _ = try await client.sdkToken() }, { try await client.switchUser(to: "a") }]
            as [@Sendable () async throws -> Void]
        {
            do {
                try await call()
                XCTFail("nothing was thrown")
            } catch { XCTAssertTrue(error is LockedStorage.Locked, "\(error)") }
        }
        let isFinished = await client.finishLogout()
        XCTAssertFalse(isFinished)
        let requests = try await environment.seen().requests
        XCTAssertEqual(requests.map(\.method), ["DELETE"])
    }
}

/// As the Keychain before the first unlock of the phone.
private struct LockedStorage: TokenStorage {
    struct Locked: Error {}
    func value(forKey _: String) throws -> String? { throw Locked() }
    func set(_: String, forKey _: String) throws { throw Locked() }
    func removeValue(forKey _: String) throws { throw Locked() }
}
