import { expect, onTestFinished, test } from 'vitest';
import { createMemoryStore } from '../../../src/store/memory/memory-store.ts';
import { type Subject, subjectId } from '../../../src/token/subject.ts';
import { brokerParts, PROACTIVE } from '../../support/broker-parts.ts';
import { eventually } from '../../support/eventually.ts';
import { recordingObserver } from '../../support/recording-observer.ts';
import { TestClock } from '../../support/test-clock.ts';

test('the worker reports how late its claims are, and how many due tokens it left', async () => {
  const clock = new TestClock();
  const store = createMemoryStore({ clock, terminalsPerAccount: 100 });
  const { observer, told: eventsOf } = recordingObserver();
  const policy = { ...PROACTIVE, share: { from: 0.5, to: 0.5 } };
  const { renewal, vendor, worker } = brokerParts({ clock, store, policy, observer });
  const subjects = Array.from({ length: 150 }, (_, phone): Subject => {
    return { app: 'default', unionId: `account-${phone}`, uniqueId: 'phone' };
  });
  for (const subject of subjects) {
    const request = { subject, region: 'CN', known: undefined, sessionIssuedAt: undefined, satisfies: () => false };
    await renewal.renew({ ...request, id: subjectId(subject), cause: 'new', urgency: 'foreground' });
  }
  clock.advance(vendor.lifeMs / 2 + 5_000);
  worker.start();
  onTestFinished(() => worker.stop());
  await eventually(() => eventsOf('renewalClaimed').length === 150);
  expect(eventsOf('backlogSeen').slice(0, 2)).toEqual([[22], [0]]);
  expect(new Set(eventsOf('renewalClaimed').map(([latenessMs]) => latenessMs))).toEqual(new Set([5_000]));
});
