import Foundation

/// The sessions of the app's own login, for all calls of one client.
actor Sessions {
    private let source: any SessionSource
    private var running: (refused: String, task: Task<String, any Error>)?
    /// The last renewal. Its session replaces only the one that was refused, which may be another account's by now.
    private var last: (refused: String, session: String)?

    init(_ source: any SessionSource) { self.source = source }

    nonisolated func current() async throws -> String {
        do { return try await source.session() } catch { throw Self.brokerError(error) }
    }

    /// One renewal at a time. It serves all requests that were refused with the same session.
    /// - Returns: another session than the refused one, and whether nobody has used it before.
    func renewed(_ refused: String) async throws -> (session: String, isNew: Bool) {
        if let last, last.refused == refused, last.session != refused { return (last.session, false) }
        while let running, running.refused != refused { _ = await running.task.result }
        let task = running?.task ?? start(refused)
        do { return (try await task.value, true) } catch { throw Self.brokerError(error) }
    }

    /// In a task of its own, which nobody cancels: a renewal that ends half-way may lose the app's refresh token.
    private func start(_ refused: String) -> Task<String, any Error> {
        let task = Task {
            defer { running = nil }
            let session = try await source.renewedSession(refused: refused)
            last = (refused, session)
            return session
        }
        running = (refused, task)
        return task
    }

    private static func brokerError(_ error: any Error) -> BrokerError {
        if (error as? BrokerError)?.kind == .sessionNeeded { return .noSession }
        return error is URLError ? .networkUnavailable(error) : .sessionUnavailable(error)
    }
}
