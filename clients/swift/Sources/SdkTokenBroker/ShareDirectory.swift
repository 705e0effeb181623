import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// What the SDK shows of a person with whom a camera is shared.
public struct HostAccount: Codable, Equatable, Sendable {
    public let accessId: String
    public let nickName: String
    public let avatarUrl: String?

    public init(accessId: String, nickName: String, avatarUrl: String? = nil) {
        (self.accessId, self.nickName, self.avatarUrl) = (accessId, nickName, avatarUrl)
    }
}

/// The two look-ups that sharing by account needs. The app's own cloud answers them, because only it knows its accounts.
public protocol ShareDirectory: Sendable {
    /// - Parameter name: the text that the owner of the camera typed, for example an e-mail address.
    func account(byName name: String) async throws -> HostAccount?
    /// Unknown accounts are missing from the result.
    func accounts(byAccessIds accessIds: [String]) async throws -> [HostAccount]
}

/// The look-ups by the calls of the example clouds: `GET /share/account` and `POST /share/accounts`.
public struct CloudShareDirectory: ShareDirectory {
    private let cloud: URL
    private let exchange: HTTPExchange

    /// - Parameters:
    ///   - cloud: base URL of the app's cloud: absolute, as for `SdkTokenClient`.
    ///   - client: its sessions, time limits and transport also count here. Both share a renewal of the session.
    public init(cloud: URL, client: SdkTokenClient) {
        requireAddress(cloud)
        (self.cloud, exchange) = (cloud, client.exchange)
    }

    public func account(byName name: String) async throws -> HostAccount? {
        let request = URLRequest(url: endpoint("share/account", of: cloud, query: ["account": name]))
        let answer = try await exchange.send(request, accepted: [200, 404])
        return answer.status == 404 ? nil : try decode(HostAccount.self, from: answer.body)
    }

    public func accounts(byAccessIds accessIds: [String]) async throws -> [HostAccount] {
        var request = URLRequest(url: endpoint("share/accounts", of: cloud))
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = try JSONEncoder().encode(["accessIds": accessIds])
        let answer = try await exchange.send(request, accepted: [200])
        return try decode(FoundAccounts.self, from: answer.body).accounts.compactMap(\.account)
    }
}

private struct FoundAccounts: Decodable { let accounts: [FoundAccount] }

/// `nil` if the cloud sends no name of the account. The other accounts of the list are still found.
private struct FoundAccount: Decodable {
    let account: HostAccount?
    init(from decoder: any Decoder) { account = try? HostAccount(from: decoder) }
}
