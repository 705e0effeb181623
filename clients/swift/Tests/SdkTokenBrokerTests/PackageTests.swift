import Foundation
import XCTest

/// What an app gets from the repository: the package, the pod and the privacy manifest.
final class PackageTests: XCTestCase {
    /// The lines of the README, with the repository at the address that they name.
    func testFakeInAppTests_inAnAppThatGetsThePackageByTheLineOfTheReadmeFromATag() throws {
        let readme = try Repository.text("clients/swift/README.md")
        let dependency = try XCTUnwrap(readme.firstMatch(of: /`(\.package\(url: "([^"]+)", \.upToNextMinor\(from: "([^"]+)"\)\))`/)?.output)
        let product = try XCTUnwrap(readme.firstMatch(of: /`(\.product\([^`]+\))`/)?.output.1)

        // A clone with the files as they are now, and the tag of this version.
        let folder = try temporaryFolder()
        let clone = folder.appendingPathComponent("clone.git").path
        try run("git", "clone", "-q", "--bare", "--depth", "1", "file://\(Repository.root.path)", clone, in: folder)
        let settings = ["user.name=Test", "user.email=test@localhost", "commit.gpgsign=false", "tag.gpgsign=false"]
        let git = ["git", "--git-dir", clone, "--work-tree", Repository.root.path] + settings.flatMap { ["-c", $0] }
        try run(git + ["add", "--all"], in: Repository.root)
        try run(git + ["commit", "-q", "--allow-empty", "--message", "Now"], in: folder)
        try run(git + ["tag", "v\(dependency.3)"], in: folder)

        // The app may be in Swift 5 mode. Its tests create tokens and errors, and replace the client (`fake-in-app-tests`).
        let files = [
            "Package.swift": """
                // swift-tools-version:5.9
                import PackageDescription
                let package = Package(
                    name: "App", platforms: [.iOS(.v15), .macOS(.v12)],
                    dependencies: [\(dependency.1)],
                    targets: [.executableTarget(name: "App", dependencies: [\(product)])])
                """,
            "Sources/App/main.swift": """
                import Foundation
                import SdkTokenBroker
                let token = SdkToken(accessId: "1", accessToken: "secret", expireTime: "0", terminalId: "2", expend: "{}")
                struct Fake: TokenClient {
                    func sdkToken(userId: String) async throws -> SdkToken { token }
                    func tokenWasRefused() async throws {}
                    func useToken(_ body: Data, etag: String?, userId: String) async throws {}
                    func logout() async throws -> Bool { true }
                }
                let client: any TokenClient = Fake()
                print(BrokerError(kind: .network, code: BrokerError.Code.networkTimeout), client, SdkTokenClient.self)
                """,
        ]
        for (name, text) in files {
            let file = folder.appendingPathComponent("app/\(name)")
            try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let app = folder.appendingPathComponent("app")
        // Swift Package Manager remembers tags. Here each test has its own. Nothing uses an index or a debugger: without
        // what they need, the build takes less CPU.
        let cheaper = ["--disable-index-store", "-Xswiftc", "-gnone"]
        let output = try run(
            ["swift", "run", "-q", "--cache-path", "../cache", "--security-path", "../security"] + cheaper + ["App"], in: app,
            environment: [
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "url.file://\(clone).insteadOf",
                "GIT_CONFIG_VALUE_0": String(dependency.2),
            ])
        XCTAssertEqual(output.split(separator: "\n").last, "network_timeout Fake() SdkTokenClient")
        let checkout = app.appendingPathComponent(".build/checkouts/sdk-token-broker")
        XCTAssertTrue(FileManager.default.fileExists(atPath: checkout.appendingPathComponent("Package.swift").path))
        let bundle = app.appendingPathComponent(".build/debug/SdkTokenBroker_SdkTokenBroker.resources")
        XCTAssertTrue(FileManager.default.fileExists(atPath: bundle.appendingPathComponent("PrivacyInfo.xcprivacy").path))
    }

    /// As in a new app of Xcode 26, where everything without an annotation belongs to the main actor. Swift 6.0 has no such
    /// setting, so this test adds the annotations.
    func testTheAdapterAndTheDocumentedAppCompileIfTheirTargetBelongsToTheMainActor() throws {
        let folder = try temporaryFolder()
        func copy(_ path: String, isolated: Bool) throws {
            var text = try Repository.text(path).replacing("@testable ", with: "").replacing("import SdkTokenBroker\n", with: "")
            if isolated {
                text.replace(/(?m)^(?=(private |fileprivate )?(final )?(struct|class|enum|protocol|func|extension) )/, with: "@MainActor ")
                text.replace("@MainActor\n@MainActor ", with: "@MainActor\n")
            }
            let file = folder.appendingPathComponent((path as NSString).lastPathComponent)
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        for name in try Repository.swiftFiles().keys { try copy("clients/swift/Sources/SdkTokenBroker/\(name)", isolated: false) }
        try copy("clients/swift/Tests/SdkStubs/GWIoTKitStubs.swift", isolated: false)
        try copy("clients/swift/SdkAdapter/BrokerHostAccountService.swift", isolated: true)
        try copy("clients/swift/Tests/SdkTokenBrokerTests/DocumentedApp.swift", isolated: true)
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        try run(["swiftc", "-typecheck", "-swift-version", "6", "-warnings-as-errors"] + files, in: folder)
    }

    /// The id is in camel case, and what follows it begins with `_`.
    func testTheReadmesAndThePodNameTheVersionOfTheRepository() throws {
        struct Package: Decodable { let version: String }
        let version = try JSONDecoder().decode(Package.self, from: Data(Repository.text("package.json").utf8)).version
        let podspec = try Repository.text("SdkTokenBroker.podspec")
        XCTAssertTrue(podspec.contains("spec.version = '\(version)'"))
        for path in ["clients/swift/README.md", "clients/swift/README.zh-CN.md"] {
            let readme = try Repository.text(path)
            XCTAssertTrue(readme.contains(#", .upToNextMinor(from: "\#(version)"))"#), path)
            XCTAssertTrue(readme.contains("', tag: 'v\(version)'"), path)
        }
    }

    /// CocoaPods needs a Mac. This compares the podspec with the package that is built here.
    func testThePodHasTheSourcesThePlatformsAndThePrivacyManifestOfThePackage() throws {
        let podspec = try Repository.text("SdkTokenBroker.podspec")
        let package = try Repository.text("Package.swift")
        func all<T>(_ pattern: Regex<(Substring, T)>, in text: String) -> [T] { text.matches(of: pattern).map(\.output.1) }

        let folder = try XCTUnwrap(all(/name: "SdkTokenBroker", path: "([^"]+)"/, in: package).first)
        XCTAssertEqual(all(/source_files = '([^']+)'/, in: podspec), ["\(folder)/*.swift"])
        XCTAssertEqual(all(/resource_bundles = \{ '\w+' => \['([^']+)'\] \}/, in: podspec), ["\(folder)/PrivacyInfo.xcprivacy"])
        XCTAssertEqual(all(/resources: \[\.copy\("([^"]+)"\)\]/, in: package), ["PrivacyInfo.xcprivacy"])
        let subfolders = try FileManager.default.contentsOfDirectory(at: Repository.sources, includingPropertiesForKeys: nil)
            .filter(\.hasDirectoryPath)
        XCTAssertEqual(subfolders, [])
        XCTAssertEqual(all(/ios\.deployment_target = '(\d+)\.0'/, in: podspec), all(/\.iOS\(\.v(\d+)\)/, in: package))
        XCTAssertEqual(all(/osx\.deployment_target = '(\d+)\.0'/, in: podspec), all(/\.macOS\(\.v(\d+)\)/, in: package))
        XCTAssertEqual(all(/swift_version = '([\d.]+)'/, in: podspec), all(/swift-tools-version:([\d.]+)/, in: package))
    }

    /// Apple's list of APIs that need a reason: https://developer.apple.com/documentation/bundleresources/describing-use-of-required-reason-api
    private static let apisWithReason = [
        "NSPrivacyAccessedAPICategoryFileTimestamp":
            #"creationDate|modificationDate|fileModificationDate|contentModificationDateKey|creationDateKey|getattrlist|getattrlistbulk|fgetattrlist|getattrlistat|stat|fstat|fstatat|lstat"#,
        "NSPrivacyAccessedAPICategorySystemBootTime": "systemUptime|mach_absolute_time",
        "NSPrivacyAccessedAPICategoryDiskSpace":
            #"volumeAvailableCapacityKey|volumeAvailableCapacityForImportantUsageKey|volumeAvailableCapacityForOpportunisticUsageKey|volumeTotalCapacityKey|systemFreeSize|systemSize|statfs|statvfs|fstatfs|fstatvfs"#,
        "NSPrivacyAccessedAPICategoryActiveKeyboards": "activeInputModes",
        "NSPrivacyAccessedAPICategoryUserDefaults": "UserDefaults|AppStorage",
    ]

    /// The categories of the APIs in the code. A comment does not count.
    private func categories(usedBy code: String) throws -> Set<String> {
        let code = code.split(separator: "\n").map { $0.replacing(/\/\/.*/, with: "") }.joined(separator: "\n")
        return try Set(Self.apisWithReason.filter { try code.contains(Regex("\\b(?:\($0.value))\\b").wordBoundaryKind(.simple)) }.keys)
    }

    func testThePrivacyManifestDeclaresTheApisThatNeedAReasonAndTheDataThatTheBrokerKeeps() throws {
        struct Manifest: Decodable {
            struct Api: Decodable { let NSPrivacyAccessedAPIType: String, NSPrivacyAccessedAPITypeReasons: [String] }
            struct Collected: Decodable {
                let NSPrivacyCollectedDataType: String, NSPrivacyCollectedDataTypePurposes: [String]
                let NSPrivacyCollectedDataTypeLinked: Bool, NSPrivacyCollectedDataTypeTracking: Bool
            }
            let NSPrivacyTracking: Bool, NSPrivacyTrackingDomains: [String]
            let NSPrivacyAccessedAPITypes: [Api], NSPrivacyCollectedDataTypes: [Collected]
        }
        let file = try Data(contentsOf: Repository.sources.appendingPathComponent("PrivacyInfo.xcprivacy"))
        let manifest = try PropertyListDecoder().decode(Manifest.self, from: file)
        let used = try Repository.swiftFiles().values.reduce(into: Set()) { try $0.formUnion(categories(usedBy: $1)) }
        XCTAssertEqual(Set(manifest.NSPrivacyAccessedAPITypes.map(\.NSPrivacyAccessedAPIType)), used)
        XCTAssertTrue(manifest.NSPrivacyAccessedAPITypes.allSatisfy { !$0.NSPrivacyAccessedAPITypeReasons.isEmpty })
        XCTAssertFalse(manifest.NSPrivacyTracking)
        XCTAssertEqual(
            manifest.NSPrivacyCollectedDataTypes.map(\.NSPrivacyCollectedDataType),
            ["NSPrivacyCollectedDataTypeUserID", "NSPrivacyCollectedDataTypeDeviceID"])
        for data in manifest.NSPrivacyCollectedDataTypes {
            XCTAssertEqual(data.NSPrivacyCollectedDataTypePurposes, ["NSPrivacyCollectedDataTypePurposeAppFunctionality"])
            XCTAssertTrue(data.NSPrivacyCollectedDataTypeLinked && !data.NSPrivacyCollectedDataTypeTracking)
        }
    }

    func testTheSearchForApisThatNeedAReasonFindsThem() throws {
        let code = "let now = ProcessInfo.processInfo.systemUptime // stat()\nlet status = UserDefaults.standard"
        XCTAssertEqual(
            try categories(usedBy: code),
            ["NSPrivacyAccessedAPICategorySystemBootTime", "NSPrivacyAccessedAPICategoryUserDefaults"])
    }

    /// The README says what Linux does not compile. Every other line of the client is compiled and tested there.
    func testTheReadmeNamesEachFileThatLinuxDoesNotCompile() throws {
        let conditional = try Repository.swiftFiles()
            .filter { $0.value.contains(/(?m)^ *#if (?!canImport\(FoundationNetworking\)$)/) }
        for path in ["clients/swift/README.md", "clients/swift/README.zh-CN.md"] {
            let rows = try Repository.text(path).matches(of: /(?m)^\| `(\w+)` \|[^|]*`Security`/)
            XCTAssertEqual(rows.map { "\($0.output.1).swift" }, conditional.keys.sorted(), path)
        }
    }
}
