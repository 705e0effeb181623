// swift-tools-version:6.0
// In the root of the repository, because Swift Package Manager looks for it there. It uses clients/swift alone.
import PackageDescription

let package = Package(
    name: "SdkTokenBroker",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "SdkTokenBroker", targets: ["SdkTokenBroker"])],
    targets: [
        .target(
            name: "SdkTokenBroker", path: "clients/swift/Sources/SdkTokenBroker",
            resources: [.copy("PrivacyInfo.xcprivacy")]),
        // The adapter needs the vendor's SDK. Here it compiles against the stubs of the SDK in the tests.
        .testTarget(
            name: "SdkTokenBrokerTests", dependencies: ["SdkTokenBroker"], path: "clients/swift",
            exclude: ["README.md", "README.zh-CN.md", "test.sh", "Sources", "Tests/Environment", "Tests/Keychain"],
            sources: ["SdkAdapter", "Tests"]),
    ],
    swiftLanguageModes: [.v6]
)
