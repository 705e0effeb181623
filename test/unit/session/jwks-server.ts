import type { JWK } from 'jose';
import { json, RecordingServer } from './recording-server.ts';

/** A real server that publishes keys. */
export class JwksServer extends RecordingServer {
  keys: JWK[] = [];

  constructor() {
    super((request, response) => json({ keys: this.keys })(request, response));
  }

  get fetches(): number {
    return this.received.length;
  }

  get url(): URL {
    return new URL('/jwks.json', this.origin);
  }
}
