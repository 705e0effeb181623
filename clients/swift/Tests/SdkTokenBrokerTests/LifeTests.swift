import Foundation
import XCTest

@testable import SdkTokenBroker

@MainActor
private final class TestScreen: AppScreen {
    private(set) var shown: [String] = []
    nonisolated init() {}
    func showLogin() { shown.append("login") }
    func showKickedOut() { shown.append("kicked out") }
    func showError(_ code: String) { shown.append(code) }
}

/// As most apps have it: an object of the main actor.
@MainActor
private final class TestLogin: AppLogin {
    let accountId = UUID().uuidString
    private let sessions: any SessionSource
    init(_ sessions: any SessionSource) { self.sessions = sessions }
    func session() async throws -> String { try await sessions.session() }
    func renewedSession(refused: String) async throws -> String { try await sessions.renewedSession(refused: refused) }
    private(set) var hasEnded = false
    func end() { hasEnded = true }
}

/// The adapter, and the app of the documents, with the stub of the SDK.
@MainActor
final class LifeTests: ClientTestCase, @unchecked Sendable {
    private let screen = TestScreen()
    private let sdk = GWIoT.shared
    private var areQuestionsHeld = false

    override func setUp() async throws {
        try await super.setUp()
        let environment = try TestEnvironment.shared()
        sdk.reset()
        sdk.uniqueId = phone
        sdk.vendorAccepts = { try await environment.vendorAccepts($0) }
    }

    private func start(_ sessions: TestSessions? = nil, storage: (any TokenStorage)? = nil) -> DocumentedApp {
        DocumentedApp(
            login: TestLogin(sessions ?? TestSessions(session)), screen: screen, storage: storage ?? self.storage,
            broker: environment.proxy, cloud: environment.proxy)
    }

    /// The adapter alone, with a new SDK.
    private func startService(
        _ sessions: TestSessions? = nil, storage: (any TokenStorage)? = nil, sdkTimeout: TimeInterval = 30,
        onEvent: @escaping @MainActor (BrokerHostAccountService.Event) -> Void = { _ in }
    ) -> BrokerHostAccountService {
        let client = newClient(sessions, storage: storage)
        let directory = CloudShareDirectory(cloud: environment.proxy, client: client)
        let service = BrokerHostAccountService(
            client: client, directory: directory, expiryGrace: 0.1, sdkTimeout: sdkTimeout, onEvent: onEvent)
        service.start()
        return service
    }

    private func accessId(_ session: String) async throws -> String {
        let body = try await environment.tokenForTheCloud(session: session, uniqueId: phone).body
        return try JSONDecoder().decode(SdkToken.self, from: body).accessId
    }

    func testTheWholeLifeFromTheFirstLoginToTheLogout() async throws {
        let app = start()

        // Login: the SDK asks once, and not again while it has a login.
        await app.logInToCameras()
        await app.logInToCameras()
        XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
        let first = try XCTUnwrap(sdk.credentials?.accessToken)
        var count = try await environment.requests().count
        XCTAssertEqual(count, 1)

        // The token changes in the background: the SDK renews it itself, and raises an event that needs nothing.
        sdk.accountEvent.raise(AccountEvent.AccessTokenExpired())
        try await eventually { storage.value(forKey: "sdk-token")?.contains(#""refused":true"#) == true }
        XCTAssertEqual(sdk.logouts, 0)

        // Refusal: the SDK lost its login, and the vendor refuses the token that the broker holds.
        sdk.endLogin()
        await app.logInToCameras()
        let second = try XCTUnwrap(sdk.credentials?.accessToken)
        XCTAssertNotEqual(second, first)

        // Kicked out: the SDK is logged out, the user is told, and nothing logs in until the user wants it.
        sdk.accountEvent.raise(AccountEvent.KickedOut())
        try await eventually { screen.shown == ["kicked out"] }
        XCTAssertEqual(sdk.isLogin.value?.boolValue, false)
        count = try await environment.requests("DELETE").count
        XCTAssertEqual(count, 0, "a logout would take the token of the other phone")
        await app.logInToCameras()
        let third = try XCTUnwrap(sdk.credentials?.accessToken)
        XCTAssertNotEqual(third, second)

        // Share by account.
        try await environment.network(
            .forward,
            answers: [
                .json(#"{"accessId":"-42","nickName":"B***b"}"#), .json("{}", status: 404),
                .json(#"{"accounts":[{"accessId":"-42","nickName":"B***b"}]}"#),
            ])
        let person = try await sdk.findPerson(account: "bob@example.com")
        XCTAssertEqual(person?.accessId, "-42")
        do {
            _ = try await sdk.findPerson(account: "nobody@example.com")
            XCTFail("nothing was thrown")
        } catch {
            XCTAssertEqual(error.localizedDescription, "There is no such account")
        }
        let people = try await sdk.people(accessIds: ["-42", "7"])
        XCTAssertEqual(people.map(\.nickName), ["B***b"])

        // Logout.
        await app.logOut()
        XCTAssertEqual(sdk.isLogin.value?.boolValue, false)
        let deletes = try await environment.requests("DELETE").map(\.status)
        XCTAssertEqual(deletes, [204])
        XCTAssertEqual(screen.shown, ["kicked out", "login"])
        let logins = try await logins()
        XCTAssertEqual(logins, 3)
    }

    func testTheMainThreadNeverWaitsForTheStorage() async throws {
        let watched = WatchedStorage(storage)
        let app = start(storage: watched)
        await app.logInToCameras()
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        await app.onOwnLogin(sdkToken: body, etag: etag)
        sdk.endLogin()
        await app.logInToCameras()
        sdk.accountEvent.raise(AccountEvent.AccessTokenExpired())
        try await eventually { storage.value(forKey: "sdk-token")?.contains(#""refused":true"#) == true }
        sdk.accountEvent.raise(AccountEvent.KickedOut())
        try await eventually { screen.shown == ["kicked out"] }
        await app.logOut()

        XCTAssertTrue(isMainThread(), "this test does not run on the main thread")
        XCTAssertGreaterThan(watched.accesses, 10)
        XCTAssertEqual(watched.accessesOnMain, 0)
    }

    private func isMainThread() -> Bool { Thread.isMainThread }

    func testALogoutThatHangsHoldsUpTheNextAccountForTheTimeoutOfAnAttemptAndDoesNotHarmIt() async throws {
        let bob = try await environment.session(account: UUID().uuidString)
        let sessions = TestSessions(session)
        let client = newClient(sessions, attemptTimeout: 2)
        let service = BrokerHostAccountService(
            client: client, directory: CloudShareDirectory(cloud: environment.proxy, client: client)
        ) { _ in }
        service.start()
        try await service.login(hostUserId: "alice")
        try await environment.network(.forward, answers: [.hang])
        let logout = Task { try await service.logout() }
        try await eventually { try await environment.requests("DELETE").count == 1 }
        sessions.value = bob
        try await service.login(hostUserId: "bob")
        try await logout.value

        let expected = try await accessId(bob)
        XCTAssertEqual(sdk.credentials?.accessId, expected)
        _ = try await client.sdkToken(userId: "bob")
        let last = try await environment.seen().requests.last
        XCTAssertEqual(last?.status, 304, "the broker still has the token of the next account")
    }

    /// The client is busy with another call, so that the two calls wait for their turn.
    private func logOutAndLogInAnotherAccount(_ wait: @MainActor (() -> Bool) async throws -> Void) async throws {
        let bob = try await environment.session(account: UUID().uuidString)
        let (sessions, slow) = (TestSessions(session), SlowStorage(storage))
        let client = newClient(sessions, storage: slow)
        let service = BrokerHostAccountService(
            client: client, directory: CloudShareDirectory(cloud: environment.proxy, client: client)
        ) { _ in }
        service.start()
        try await service.login(hostUserId: "alice")
        slow.close()
        let busy = Task { try await client.tokenWasRefused() }
        try await eventually { slow.isWaitedFor }
        sessions.value = bob
        var calls: [String] = []
        let logout = Task(priority: .utility) {
            calls.append("logout")
            try await service.logout()
        }
        try await wait { calls == ["logout"] }
        let login = Task(priority: .userInitiated) {
            calls.append("login")
            try await service.login(hostUserId: "bob")
        }
        try await eventually { calls == ["logout", "login"] }
        slow.open()
        _ = try await (busy.value, logout.value, login.value)

        let requests = try await environment.seen().requests.map { "\($0.method) \($0.headers["authorization"] ?? "")" }
        XCTAssertEqual(requests, ["GET Bearer \(session)", "DELETE Bearer \(session)", "GET Bearer \(bob)"])
    }

    func testALogoutTakesEffectBeforeALaterLoginWhoseTaskHasAHigherPriority() async throws {
        try await logOutAndLogInAnotherAccount { try await eventually($0) }
    }

    func testALogoutTakesEffectBeforeALoginThatTheAppCallsRightAfterIt() async throws {
        try await logOutAndLogInAnotherAccount { _ in }
    }

    func testAnAppWithoutASessionShowsTheLoginAndATemporaryErrorOfItsLoginLogsNobodyOut() async throws {
        enum AppError: Error { case transport(any Error) }
        let temporary: [any Error] = [
            CancellationError(), URLError(.timedOut), AppError.transport(URLError(.notConnectedToInternet)),
        ]
        for (reason, isLoggedOut) in temporary.map({ ($0, false) }) + [(BrokerError.noSession as any Error, true)] {
            sdk.reset()
            let sessions = TestSessions(session)
            sessions.error = reason
            let login = TestLogin(sessions)
            let app = DocumentedApp(
                login: login, screen: screen, storage: storage, broker: environment.proxy, cloud: environment.proxy)
            await app.logInToCameras()
            XCTAssertEqual(login.hasEnded, isLoggedOut, "\(reason)")
        }
        XCTAssertEqual(screen.shown, ["session_unavailable", "network_unavailable", "session_unavailable", "login"])
    }

    func testALoginThatTheNextLoginEndsShowsNothing() async throws {
        try await environment.network(.forward, answers: [.hang])
        let app = start()
        let login = Task { await app.logInToCameras() }
        try await eventually { try await environment.requests().count == 1 }
        let next = Task { try await app.client.sdkToken(userId: "bob") }
        await login.value
        _ = try await next.value
        XCTAssertEqual(screen.shown, [])
    }

    func testALogoutShowsTheErrorOfTheStorageAfterTheSdkAndTheBrokerAreLoggedOut() async throws {
        let failing = FailingStorage(storage)
        let app = start(storage: failing)
        await app.logInToCameras()
        failing.fails = [.remove]
        await app.logOut()
        XCTAssertEqual(screen.shown, ["sdk", "login"])
        XCTAssertEqual(sdk.isLogin.value?.boolValue, false)
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALoginThatFailsWithAFreshTokenIsRepeatedOnceWithAnotherToken() async throws {
        var offered: [String] = []
        sdk.vendorAccepts = { token in
            offered.append(token)
            return offered.count > 1
        }
        let app = start()
        await app.logInToCameras()

        XCTAssertEqual(Set(offered).count, 2)
        XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
        XCTAssertEqual(screen.shown, [])
    }

    func testAVendorThatRefusesEveryTokenIsAskedTwice() async throws {
        sdk.vendorAccepts = { _ in false }
        let app = start()
        await app.logInToCameras()
        XCTAssertEqual(sdk.logins, 2)
        XCTAssertEqual(screen.shown, ["sdk"])
    }

    func testAFailedLoginShowsTheReasonOfTheBroker() async throws {
        try await environment.vendor(["fault": "account-closed"])
        await start().logInToCameras()
        await start(TestSessions("ended")).logInToCameras()
        try await environment.network(.page)
        await start().logInToCameras()

        XCTAssertEqual(screen.shown, ["account_disabled", "login", "unexpected_answer"])
        XCTAssertEqual(sdk.logins, 3, "a new token would not help")
    }

    func testTheTokenOfTheLoginResponseLogsInWithoutARequest() async throws {
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        await start().onOwnLogin(sdkToken: body, etag: etag)
        XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 0)
    }

    func testALoginResponseWithoutATokenLogsInWithTheTokenOfTheBroker() async throws {
        for body in [nil, Data("null".utf8)] {
            sdk.endLogin()
            await start().onOwnLogin(sdkToken: body, etag: nil)
            XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
        }
        XCTAssertEqual(screen.shown, [])
    }

    func testALoginThatFailsAfterTheExpiryIsForTheAppAsAnyOther() async throws {
        let app = start()
        let loggedOut = BrokerError(kind: .loggedOut, code: BrokerError.Code.loggedOut)
        let closed = BrokerError(kind: .forbidden, code: "account_disabled")
        for error in [loggedOut, closed, BrokerError.noSession] { app.receive(.loginFailed(error)) }
        try await eventually { screen.shown.count == 2 }
        XCTAssertEqual(screen.shown, ["account_disabled", "login"])
        XCTAssertEqual(sdk.logouts, 1)
    }

    func testTheSdkNeverGetsTheStoredTokenOfTheAccountBeforeAlthoughNobodyLoggedItOut() async throws {
        try await startService().login(hostUserId: "alice")
        // The next response of alice's own login contains a token. The SDK has a login, so it does not ask for it.
        let (body, etag) = try await environment.tokenForTheCloud(session: session, uniqueId: phone)
        try await newClient().useToken(body, etag: etag, userId: "alice")

        let bob = try await environment.session(account: UUID().uuidString)
        sdk.reset()
        try await startService(TestSessions(bob)).login(hostUserId: "bob")
        let expected = try await accessId(bob)
        XCTAssertEqual(sdk.credentials?.accessId, expected)
    }

    func testALoginOfAnotherAccountDoesNotGetTheAnswerToARequestOfTheAccountBefore() async throws {
        try await environment.vendor(["latencyMs": 1_500])
        let bob = try await environment.session(account: UUID().uuidString)
        let sessions = TestSessions(session)
        let service = startService(sessions)
        let first = Task { try await service.login(hostUserId: "alice") }
        try await eventually { try await environment.requests().count == 1 }
        sessions.value = bob
        try await service.login(hostUserId: "bob")
        _ = await first.result
        let expected = try await accessId(bob)
        XCTAssertEqual(sdk.credentials?.accessId, expected)
    }

    func testALoginThatFailsBecauseOfALogoutIsNotRepeatedAndGetsNoNewToken() async throws {
        let service = startService()
        var (asked, isLoggedOut) = (false, false)
        sdk.vendorAccepts = { _ in
            guard !asked else { return true }
            asked = true
            while !isLoggedOut { try await Task.sleep(nanoseconds: 10_000_000) }
            return false
        }
        let login = Task { try await service.login(hostUserId: "alice") }
        try await eventually { asked }
        try await service.logout()
        isLoggedOut = true
        let result = await login.result

        XCTAssertThrowsError(try result.get())
        XCTAssertEqual(sdk.isLogin.value?.boolValue, false)
        let methods = try await environment.seen().requests.map(\.method)
        XCTAssertEqual(methods, ["GET", "DELETE"])
    }

    func testAfterALogoutOrAfterBeingKickedOutTheSdkGetsNoTokenBeforeTheNextLogin() async throws {
        let service = startService()
        for isLogout in [false, true] {
            try await service.login(hostUserId: "alice")
            let logouts = sdk.logouts
            if isLogout { try await service.logout() } else { sdk.accountEvent.raise(AccountEvent.KickedOut()) }
            try await eventually { sdk.logouts == logouts + 1 }
            let requests = try await environment.seen().requests.count
            // The SDK logs in by itself.
            let result = try await sdk.login(hostUserId: "alice")
            XCTAssertTrue(result is GWResultFailure<User>)
            let after = try await environment.seen().requests.count
            XCTAssertEqual(after, requests)
        }
        try await service.login(hostUserId: "alice")
        XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
    }

    func testTheAppLogsOutWhenItsSessionHasEndedSoThatAnotherAccountCanLogIn() async throws {
        await start().logInToCameras()
        sdk.reset()
        let login = OwnLogin(accountId: "alice", session: "ended") { nil }
        let app = DocumentedApp(
            login: login, screen: screen, storage: storage, broker: environment.proxy, cloud: environment.proxy)
        await app.logInToCameras()

        XCTAssertEqual(screen.shown, ["login"])
        XCTAssertNil(storage.value(forKey: "sdk-token"))
    }

    func testTheOwnLoginOfTheDocumentsRenewsItsSession() async throws {
        let login = OwnLogin(accountId: "alice", session: "ended") { [session] in session }
        await DocumentedApp(
            login: login, screen: screen, storage: storage, broker: environment.proxy, cloud: environment.proxy
        ).logInToCameras()
        XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map(\.status), [401, 200])
    }

    /// The SDK takes its time before it asks for a token, also if it is cancelled.
    private func holdQuestions(of hostUserId: String) {
        areQuestionsHeld = true
        sdk.beforeAsking = { [self] in
            while $0 == hostUserId, areQuestionsHeld { try? await Task.sleep(nanoseconds: 10_000_000) }
        }
    }

    func testAfterALogoutALoginThatIsStillRunningInTheSdkGetsNoTokenAlsoNotThatOfTheNextAccount() async throws {
        let bob = try await environment.session(account: UUID().uuidString)
        let sessions = TestSessions(session)
        let service = startService(sessions)
        holdQuestions(of: "alice")
        let first = Task { try await service.login(hostUserId: "alice") }
        try await eventually { sdk.logins == 1 }
        try await service.logout()
        sessions.value = bob
        let second = Task { try await service.login(hostUserId: "bob") }
        try await Task.sleep(nanoseconds: 200_000_000)
        areQuestionsHeld = false
        let (login, next) = await (first.result, second.result)

        XCTAssertThrowsError(try login.get()) { XCTAssertEqual(($0 as? BrokerError)?.code, "logged_out") }
        XCTAssertNoThrow(try next.get())
        let expected = try await accessId(bob)
        XCTAssertEqual(sdk.credentials?.accessId, expected)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.map { $0.headers["authorization"] }, ["Bearer \(bob)"])
    }

    func testLoginsOfOneAccountAtTheSameTimeHaveOneResultAndALaterLoginHasItsOwn() async throws {
        let service = startService()
        try await environment.vendor(["fault": "account-closed"])
        holdQuestions(of: "alice")
        var logins = (0..<5).map { _ in Task { try await service.login(hostUserId: "alice") } }
        try await eventually { sdk.logins == 1 }
        try await Task.sleep(nanoseconds: 300_000_000)
        areQuestionsHeld = false
        for login in logins { _ = await login.result }
        XCTAssertEqual(sdk.logins, 1)
        logins.append(Task { try await service.login(hostUserId: "alice") })
        for login in logins {
            let result = await login.result
            XCTAssertThrowsError(try result.get()) { XCTAssertEqual(($0 as? BrokerError)?.code, "account_disabled") }
        }
        XCTAssertEqual(sdk.logins, 2)
    }

    func testACallerOfALoginWhoIsCancelledDoesNotCancelAnother() async throws {
        let service = startService()
        holdQuestions(of: "alice")
        let first = Task { try await service.login(hostUserId: "alice") }
        try await eventually { sdk.logins == 1 }
        let second = Task { try await service.login(hostUserId: "alice") }
        try await Task.sleep(nanoseconds: 300_000_000)
        first.cancel()
        areQuestionsHeld = false
        _ = await first.result
        try await second.value
        XCTAssertEqual(sdk.logins, 1)
        XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
    }

    func testALoginWaitsForALogoutThatIsStillInTheSdkButForItsTimeoutOnly() async throws {
        let service = startService(sdkTimeout: 3)
        for doesAnswer in [true, false] {
            try await service.login(hostUserId: "alice")
            var isHeld = true
            sdk.beforeLogout = { while isHeld { try? await Task.sleep(nanoseconds: 10_000_000) } }
            let logout = Task { try await service.logout() }
            try await eventually { storage.value(forKey: "sdk-token") == nil }
            let login = Task { try await service.login(hostUserId: "alice") }
            try await Task.sleep(nanoseconds: 300_000_000)
            if doesAnswer {
                isHeld = false
                try await logout.value
            }
            try await login.value
            XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
            isHeld = false
            try await logout.value
        }
    }

    func testALogoutThatTheSdkNeverEndsHoldsUpLoginsForItsTimeoutOnly() async throws {
        let service = startService(sdkTimeout: 3)
        try await service.login(hostUserId: "alice")
        var isHeld = true
        sdk.beforeLogout = { while isHeld { try? await Task.sleep(nanoseconds: 10_000_000) } }
        let logout = Task { try await service.logout() }
        try await eventually { storage.value(forKey: "sdk-token") == nil }
        let start = DispatchTime.now()
        let logins = (0..<2).map { _ in Task { try await service.login(hostUserId: "alice") } }
        for login in logins { try await login.value }
        try await service.login(hostUserId: "alice")
        XCTAssertLessThan(DispatchTime.now(), start + 5)
        isHeld = false
        try await logout.value
    }

    func testALoginThatTheSdkEndsAfterALogoutDoesNotUndoTheLogout() async throws {
        let service = startService()
        var isHeld = true
        sdk.vendorAccepts = { _ in
            while isHeld { try? await Task.sleep(nanoseconds: 10_000_000) }
            return true
        }
        let login = Task { try await service.login(hostUserId: "alice") }
        try await eventually { storage.value(forKey: "sdk-token") != nil }
        try await service.logout()
        isHeld = false
        let result = await login.result
        XCTAssertThrowsError(try result.get()) { XCTAssertEqual(($0 as? BrokerError)?.code, "logged_out") }
        XCTAssertEqual(sdk.isLogin.value?.boolValue, false)
    }

    func testALogoutEndsALoginThatWaitsForTheLoginBefore() async throws {
        let service = startService()
        holdQuestions(of: "alice")
        var logins = [Task { try await service.login(hostUserId: "alice") }]
        try await eventually { sdk.logins == 1 }
        logins.append(Task { try await service.login(hostUserId: "bob") })
        try await Task.sleep(nanoseconds: 200_000_000)
        try await service.logout()
        areQuestionsHeld = false

        for login in logins {
            let result = await login.result
            XCTAssertThrowsError(try result.get()) { XCTAssertEqual(($0 as? BrokerError)?.code, "logged_out") }
        }
        XCTAssertEqual(sdk.logins, 1)
    }

    func testALoginThatTheSdkNeverEndsHoldsUpThatOfTheNextAccountForItsTimeoutOnly() async throws {
        let bob = try await environment.session(account: UUID().uuidString)
        let sessions = TestSessions(session)
        let service = startService(sessions, sdkTimeout: 4)
        holdQuestions(of: "alice")
        let first = Task { try await service.login(hostUserId: "alice") }
        try await eventually { sdk.logins == 1 }
        try await service.logout()
        sessions.value = bob
        let startedAt = Date()
        let second = Task { try await service.login(hostUserId: "bob") }
        try await eventually { sdk.isLogin.value?.boolValue == true }
        XCTAssertGreaterThan(Date().timeIntervalSince(startedAt), 3)
        areQuestionsHeld = false
        let (login, next) = await (first.result, second.result)

        XCTAssertThrowsError(try login.get()) { XCTAssertEqual(($0 as? BrokerError)?.code, "logged_out") }
        XCTAssertNoThrow(try next.get())
        let expected = try await accessId(bob)
        XCTAssertEqual(sdk.credentials?.accessId, expected)
    }

    func testALoginThatTheSdkEndsTooLateChangesNothingForTheLoginsAfterIt() async throws {
        let service = startService(sdkTimeout: 2)
        // The vendor answers when the test wants it.
        var answers: [CheckedContinuation<Bool, Never>] = []
        sdk.vendorAccepts = { _ in await withCheckedContinuation { answers.append($0) } }
        let first = Task { try await service.login(hostUserId: "alice") }
        try await eventually { answers.count == 1 }
        try await Task.sleep(nanoseconds: 2_200_000_000)
        let second = Task { try await service.login(hostUserId: "alice") }
        try await eventually { answers.count == 2 }
        answers[0].resume(returning: false)
        let result = await first.result
        XCTAssertThrowsError(try result.get()) { XCTAssertEqual(($0 as? BrokerError)?.code, "logged_out") }
        XCTAssertEqual(storage.value(forKey: "sdk-token")?.contains(#""refused":true"#), false)
        answers[1].resume(returning: true)
        try await second.value
        XCTAssertEqual(sdk.logins, 2)
        XCTAssertEqual(sdk.isLogin.value?.boolValue, true)
    }

    func testATokenThatArrivesAfterBeingKickedOutDoesNotReachTheSdk() async throws {
        let service = startService()
        try await environment.vendor(["latencyMs": 500])
        let login = Task { try await service.login(hostUserId: "alice") }
        try await eventually { try await environment.requests().count == 1 }
        sdk.accountEvent.raise(AccountEvent.KickedOut())
        let result = await login.result

        XCTAssertThrowsError(try result.get()) { XCTAssertEqual(($0 as? BrokerError)?.code, "logged_out") }
        XCTAssertNil(sdk.credentials)
    }

    func testALogoutDuringALoginShowsTheLoginScreenAndNoError() async throws {
        let own = TestLogin(TestSessions(session))
        let app = DocumentedApp(
            login: own, screen: screen, storage: storage, broker: environment.proxy, cloud: environment.proxy)
        holdQuestions(of: own.accountId)
        let login = Task { await app.logInToCameras() }
        try await eventually { sdk.logins == 1 }
        await app.logOut()
        areQuestionsHeld = false
        await login.value
        XCTAssertEqual(screen.shown, ["login"])
    }

    func testAnExpiredTokenLogsInAgainIfTheSdkLoggedItselfOut() async throws {
        let service = startService()
        try await service.login(hostUserId: "alice")
        let expired = try XCTUnwrap(sdk.credentials?.accessToken)
        sdk.endLogin()
        sdk.accountEvent.raise(AccountEvent.AccessTokenExpired())

        try await eventually { sdk.credentials != nil }
        XCTAssertNotEqual(sdk.credentials?.accessToken, expired)
    }

    func testAnExpiredTokenChangesNothingIfTheSdkRenewedItItself() async throws {
        let service = startService()
        try await service.login(hostUserId: "alice")
        let logins = sdk.logins
        sdk.accountEvent.raise(AccountEvent.AccessTokenExpired())
        try await Task.sleep(nanoseconds: 500_000_000)

        XCTAssertEqual(sdk.logins, logins)
        XCTAssertEqual(sdk.logouts, 0)
        let requests = try await environment.requests()
        XCTAssertEqual(requests.count, 1)
    }

    func testALoginThatFailsAfterTheExpiryIsReported() async throws {
        var failures: [any Error] = []
        let service = startService { if case .loginFailed(let error) = $0 { failures.append(error) } }
        try await service.login(hostUserId: "alice")
        try await environment.network(.gone)
        sdk.endLogin()
        sdk.accountEvent.raise(AccountEvent.AccessTokenExpired())

        try await eventually { failures.count == 1 }
        XCTAssertEqual((failures.first as? BrokerError)?.kind, .network)
    }

    func testNothingLogsInAgainAfterBeingKickedOutOrAfterALogout() async throws {
        let service = startService()
        for isLogout in [false, true] {
            try await service.login(hostUserId: "alice")
            let (logins, logouts) = (sdk.logins, sdk.logouts)
            if isLogout { try await service.logout() } else { sdk.accountEvent.raise(AccountEvent.KickedOut()) }
            try await eventually { sdk.logouts == logouts + 1 }
            sdk.accountEvent.raise(AccountEvent.AccessTokenExpired())
            sdk.accountEvent.raise(AccountEvent.AccountUnregistered())
            try await Task.sleep(nanoseconds: 500_000_000)
            XCTAssertEqual(sdk.logins, logins)
        }
    }

    func testALogoutThatTheSdkFailsReachesTheBroker() async throws {
        let service = startService()
        try await service.login(hostUserId: "alice")
        sdk.logoutError = GWError(message: "the SDK is busy")
        do {
            try await service.logout()
            XCTFail("nothing was thrown")
        } catch { XCTAssertEqual((error as? GWError)?.message, "the SDK is busy") }
        let requests = try await environment.requests("DELETE")
        XCTAssertEqual(requests.map(\.status), [204])
    }

    func testALogoutWithoutNetworkLogsOutTheSdk() async throws {
        let app = start()
        await app.logInToCameras()
        try await environment.network(.gone)
        await app.logOut()
        XCTAssertEqual(sdk.isLogin.value?.boolValue, false)
        XCTAssertEqual(screen.shown, ["login"])
        XCTAssertTrue(storage.isEmpty)
    }

    func testTheOwnLoginOfTheDocumentsHasNoSessionAfterItsEndAlsoIfARenewalWasRunning() async throws {
        var mayEnd = false
        let login = OwnLogin(accountId: "alice", session: "ended") {
            while !mayEnd { try await Task.sleep(nanoseconds: 10_000_000) }
            return "new"
        }
        let renewal = Task { try await login.renewedSession(refused: "ended") }
        await Task.yield()
        login.end()
        mayEnd = true
        let result = await renewal.result
        XCTAssertThrowsError(try result.get()) { XCTAssertEqual(($0 as? BrokerError)?.kind, .sessionNeeded) }
    }
}
