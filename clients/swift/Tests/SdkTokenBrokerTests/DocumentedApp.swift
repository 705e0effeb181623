import Foundation
import SdkTokenBroker

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

// An app as the documents show it. LifeTests runs it.

// docs: app
/// The camera part of an app. The SDK's questions (a token, the people of a shared camera), refused tokens and expired
/// tokens need no code here: `BrokerHostAccountService` answers them.
@MainActor
final class DocumentedApp {
    let client: SdkTokenClient
    private(set) var camera: BrokerHostAccountService!
    private let login: any AppLogin
    private let screen: any AppScreen

    init(login: any AppLogin, screen: any AppScreen, storage: any TokenStorage, broker: URL, cloud: URL) {
        (self.login, self.screen) = (login, screen)
        client = SdkTokenClient(
            broker: broker,  // https://broker.example
            uniqueId: GWIoT.shared.phoneUniqueId(),
            sessions: login,
            storage: storage)  // KeychainTokenStorage()
        let directory = CloudShareDirectory(cloud: cloud, client: client)  // https://cloud.example
        camera = BrokerHostAccountService(client: client, directory: directory) { [weak self] event in
            self?.receive(event)
        }
        camera.start()  // registers with the SDK
    }

    /// After the app's own login, and at each start that finds somebody logged in.
    func logInToCameras() async {
        do { try await camera.login(hostUserId: login.accountId) } catch { await onLoginFailed(error) }
    }

    private func onLoginFailed(_ error: any Error) async {
        guard let error = error as? BrokerError else {
            return screen.showError("sdk")  // the SDK's error, or that of the storage
        }
        switch error.kind {
        case .loggedOut: break  // a logout or another login shows its own screen
        case .sessionNeeded: await logOut()  // another account may be the next to log in
        default: screen.showError(error.code)  // account_disabled, terminal_limit, network_unavailable, …
        }
    }

    /// The user has just logged in to your cloud. Its response may contain the broker's answer.
    func onOwnLogin(sdkToken: Data?, etag: String?) async {
        // If it contains no token, the SDK's token comes from the broker.
        if let sdkToken { try? await client.useToken(sdkToken, etag: etag, userId: login.accountId) }
        await logInToCameras()
    }

    func receive(_ event: BrokerHostAccountService.Event) {
        switch event {
        case .kickedOut: screen.showKickedOut()  // with a button that calls logInToCameras()
        case .loginFailed(let error): Task { await onLoginFailed(error) }
        }
    }

    func logOut() async {
        do {
            try await camera.logout()
        } catch {
            screen.showError("sdk")  // the SDK did not log out, or the storage has failed
        }
        login.end()
        screen.showLogin()  // not before end(), which would end the next user's login
    }
}

@MainActor
protocol AppLogin: SessionSource {  // your own login
    var accountId: String { get }
    func end()
}

/// One way to write it.
@MainActor
final class OwnLogin: AppLogin {
    let accountId: String
    private var current: String?
    private let renew: () async throws -> String?  // asks your cloud. `nil`: the user has to log in again

    init(accountId: String, session: String?, renew: @escaping () async throws -> String?) {
        (self.accountId, current, self.renew) = (accountId, session, renew)
    }

    func session() async throws -> String {
        guard let current else { throw BrokerError.noSession }  // the user has to log in
        return current
    }

    func renewedSession(refused: String) async throws -> String {
        if current == refused {
            let renewed = try await renew()  // an error counts as temporary, unless it is `noSession`
            if current == refused { current = renewed }  // not after end()
        }
        return try await session()
    }

    func end() { current = nil }
}

@MainActor
protocol AppScreen: AnyObject {
    func showLogin()
    func showKickedOut()
    func showError(_ code: String)
}
// docs end
