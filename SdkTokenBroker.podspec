Pod::Spec.new do |spec|
  spec.name = 'SdkTokenBroker'
  spec.version = '0.1.0'
  spec.summary = 'Gets the token for the SDK of a camera vendor from sdk-token-broker.'
  spec.description = 'The iOS client of sdk-token-broker. It fetches the token, reports refused tokens, and logs out.'
  spec.homepage = 'https://github.com/OWNER/sdk-token-broker'
  spec.license = { type: 'MIT', file: 'LICENSE' }
  spec.author = 'The sdk-token-broker authors'
  spec.source = { git: 'https://github.com/OWNER/sdk-token-broker.git', tag: "v#{spec.version}" }
  spec.swift_version = '6.0'
  spec.ios.deployment_target = '15.0'
  spec.osx.deployment_target = '12.0'
  spec.source_files = 'clients/swift/Sources/SdkTokenBroker/*.swift'
  spec.resource_bundles = { 'SdkTokenBroker_Privacy' => ['clients/swift/Sources/SdkTokenBroker/PrivacyInfo.xcprivacy'] }
end
