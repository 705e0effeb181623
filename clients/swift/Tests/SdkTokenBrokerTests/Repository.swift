import Foundation
import XCTest

/// The files of the repository, and commands for tests that look at them.
enum Repository {
    static let root = (0..<5).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
    static let sources = root.appendingPathComponent("clients/swift/Sources/SdkTokenBroker")

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// The Swift files of the client, by name.
    static func swiftFiles() throws -> [String: String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: sources.path).filter { $0.hasSuffix(".swift") }
        return try Dictionary(uniqueKeysWithValues: names.map {
            ($0, try String(contentsOf: sources.appendingPathComponent($0), encoding: .utf8))
        })
    }
}

extension XCTestCase {
    func temporaryFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        addTeardownBlock { try FileManager.default.removeItem(at: folder) }
        return folder
    }

    /// Runs a command, and returns its output. Throws it if the command fails.
    @discardableResult
    func run(_ command: String..., in folder: URL) throws -> String { try run(command, in: folder) }

    @discardableResult
    func run(_ command: [String], in folder: URL, environment: [String: String] = [:]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = folder
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        (process.standardOutput, process.standardError) = (output, output)
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw GWError(message: "\(command.joined(separator: " ")):\n\(text)") }
        return text
    }
}
