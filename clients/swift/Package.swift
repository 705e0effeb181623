// swift-tools-version:5.10
import PackageDescription

let package = Package(
    name: "SdkTokenBroker",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "SdkTokenBroker", targets: ["SdkTokenBroker"])],
    targets: [
        .target(name: "SdkTokenBroker", swiftSettings: [.enableExperimentalFeature("StrictConcurrency")]),
        // The adapter needs the vendor's SDK. Here it compiles against the stubs of the SDK in the tests.
        .testTarget(
            name: "SdkTokenBrokerTests", dependencies: ["SdkTokenBroker"], path: ".",
            exclude: ["README.md", "test.sh", "Sources", "Tests/Environment"], sources: ["SdkAdapter", "Tests"]),
    ]
)
