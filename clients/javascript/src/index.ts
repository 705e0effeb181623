export { BrokerError, type BrokerErrorDetails, type BrokerErrorKind, NoSession } from './broker-error.js';
export {
  type SdkToken,
  SdkTokenClient,
  type SdkTokenClientOptions,
  type TokenClient,
  type TokenStorage,
} from './sdk-token-client.js';
export type { SessionSource } from './session-requests.js';
export {
  fetchTransport,
  type Transport,
  type TransportAnswer,
  type TransportRequest,
  type TransportSignal,
} from './transport.js';
