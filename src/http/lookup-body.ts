import { z } from 'zod';
import { BrokerError } from '../token/errors.ts';

const MAX_ACCESS_IDS = 1_000;

const accessId = z
  .string({
    error: ({ input }) =>
      typeof input === 'number'
        ? 'must be a string, not a number: JSON readers round 64-bit integers'
        : 'must be a string',
  })
  .regex(/^(0|-?[1-9][0-9]{0,18})$/, { error: 'must be a decimal integer of 64 bits', abort: true })
  .refine((text) => BigInt.asIntN(64, BigInt(text)) === BigInt(text), {
    error: 'must be a decimal integer of 64 bits',
  });

/** Of `POST /accounts/lookup`. */
export const lookupBody = z.strictObject(
  {
    accessIds: z
      .array(accessId, { error: 'must be an array of strings' })
      .min(1, { error: 'must not be empty' })
      .max(MAX_ACCESS_IDS, { error: `may hold ${MAX_ACCESS_IDS} at most` })
      .meta({
        description: 'Decimal integers of 64 bits, as strings: JSON readers round such numbers.',
        examples: [['-9223371996052586423']],
      }),
  },
  { error: 'must be a JSON object {"accessIds": […]} and nothing else' },
);

/** @throws BrokerError `request_invalid` with the first fault and what is allowed, never a value */
export function requestedAccessIds(body: unknown): readonly string[] {
  const parsed = lookupBody.safeParse(body);
  if (parsed.success) return parsed.data.accessIds;
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: 'is not valid' };
  const [, index] = path;
  const place = path.length === 0 ? 'The body' : index === undefined ? 'accessIds' : `accessIds[${String(index)}]`;
  throw new BrokerError('request_invalid', { detail: `${place} ${message}` });
}
