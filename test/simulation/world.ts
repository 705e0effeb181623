import type { Recorder } from '../judge/recording.ts';
import type { Apps } from './apps.ts';
import type { CloudModel } from './cloud-model.ts';
import type { Fleet } from './fleet.ts';
import type { RecordedStore } from './recorded-store.ts';
import type { Scenario } from './scenario.ts';
import type { StoreServer } from './store-server.ts';
import type { VendorModel } from './vendor-model.ts';
import type { VirtualTime } from './virtual-time.ts';

/** All parts of a schedule. Each part is given those that it needs. */
export interface World {
  readonly scenario: Scenario;
  readonly time: VirtualTime;
  readonly recorder: Recorder;
  readonly server: StoreServer;
  /** What is recorded of the server. */
  readonly store: RecordedStore;
  readonly vendor: VendorModel;
  readonly cloud: CloudModel;
  readonly fleet: Fleet;
  readonly apps: Apps;
  /** Adds a line to the trace. */
  readonly note: (line: string) => void;
}
