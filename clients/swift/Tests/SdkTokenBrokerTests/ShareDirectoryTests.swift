import Foundation
import XCTest

@testable import SdkTokenBroker

final class ShareDirectoryTests: ClientTestCase, @unchecked Sendable {
    private func newDirectory(_ sessions: TestSessions? = nil) -> CloudShareDirectory {
        CloudShareDirectory(cloud: environment.proxy, client: newClient(sessions))
    }

    func testAPersonIsFoundByTheTypedAccount() async throws {
        let answer = #"{"accessId":"-42","nickName":"Bob","avatarUrl":"https://cloud.example/bob.png","more":1}"#
        try await environment.network(.forward, answers: [.json(answer)])
        let found = try await newDirectory().account(byName: "bob+cam@example.com")

        XCTAssertEqual(
            found, HostAccount(accessId: "-42", nickName: "Bob", avatarUrl: "https://cloud.example/bob.png"))
        let requests = try await environment.requests()
        let request = try XCTUnwrap(requests.first)
        XCTAssertEqual(request.headers["authorization"], "Bearer \(session)")
        XCTAssertTrue(request.url.hasPrefix("/share/account?account=bob%2Bcam"), request.url)
    }

    func testAnUnknownAccountIsNil() async throws {
        try await environment.network(.forward, answers: [.json("{}", status: 404)])
        let found = try await newDirectory().account(byName: "nobody")
        XCTAssertNil(found)
    }

    func testAPageWith404DoesNotMeanThatThereIsNoSuchAccount() async throws {
        let page = TestEnvironment.Answer(status: 404, headers: ["content-type": "text/html"], body: "<h1>404</h1>")
        try await environment.network(.forward, answers: [page])
        let error = try await brokerError { try await newDirectory().account(byName: "bob") as Any }
        XCTAssertEqual(error.kind, .unexpectedAnswer)
    }

    func testPeopleAreFoundByTheirAccessIdsAndUnknownOnesAreMissing() async throws {
        try await environment.network(
            .forward, answers: [.json(#"{"accounts":[{"accessId":"-42","nickName":"Bob","avatarUrl":null}]}"#)])
        let found = try await newDirectory().accounts(byAccessIds: ["-42", "7"])

        XCTAssertEqual(found, [HostAccount(accessId: "-42", nickName: "Bob")])
        let requests = try await environment.requests("POST")
        let request = try XCTUnwrap(requests.first)
        XCTAssertEqual(request.url, "/share/accounts")
        XCTAssertEqual(request.body, #"{"accessIds":["-42","7"]}"#)
    }

    func testFurtherFieldsAndAccountsWithoutANameDoNotSpoilTheList() async throws {
        let list = #"[{"accessId":"1","nickName":"Bob","more":1},{"accessId":"2","nickName":null}]"#
        try await environment.network(.forward, answers: [.json(#"{"accounts":\#(list),"requestId":"r-1"}"#)])
        let found = try await newDirectory().accounts(byAccessIds: ["1", "2"])
        XCTAssertEqual(found, [HostAccount(accessId: "1", nickName: "Bob")])
    }

    func testAnAnswerWithoutAccountsIsAnError() async throws {
        try await environment.network(.forward, answers: [.json("{}")])
        let error = try await brokerError { try await newDirectory().accounts(byAccessIds: ["1"]) }
        XCTAssertEqual(error.kind, .unexpectedAnswer)
    }

    func testAnAnswerThatIsNoPersonIsAnError() async throws {
        try await environment.network(.forward, answers: [.json(#"{"nickName":"Bob"}"#)])
        let error = try await brokerError { try await newDirectory().account(byName: "bob") as Any }
        XCTAssertEqual(error.kind, .unexpectedAnswer)
    }
}
