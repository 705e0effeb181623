import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../token/errors.ts';
import { TERMINAL_PARAMETERS } from '../requested-subject.ts';
import { querySchema } from '../server/validation.ts';

const { uniqueId, app, regRegion } = TERMINAL_PARAMETERS;
/** `requestedSubject` demands the uniqueId, since that depends on the terminal policy; the document says `required`. */
const required = { required: ['uniqueId'] };

export const sdkTokenQuery = querySchema({ uniqueId, app, regRegion }).meta(required);
export const logOutQuery = querySchema({ uniqueId, app }).meta(required);
export const terminalTokenQuery = querySchema({ app, regRegion });
export const terminalQuery = querySchema({
  app: app.meta({ description: 'The edition of the app; all of them where it is left out.' }),
});
export const noQuery = querySchema({});

export const conditionHeaders = z.object({
  'If-None-Match': z.string().optional().meta({ description: 'The `ETag` of the token the caller has.' }),
  'Cache-Control': z
    .string()
    .optional()
    .meta({ description: 'With `no-cache` the SDK was refused with that token: exactly one `ETag` is allowed then.' }),
});

export const sdkToken = z
  .object({
    accessId: z.string(),
    accessToken: z.string().meta({ description: 'Opaque, and a secret.' }),
    expireTime: z.string().meta({ description: 'Epoch seconds.' }),
    terminalId: z.string(),
    expand: z.string().meta({ description: 'JSON, byte for byte as the vendor sent it.' }),
    expend: z.string().meta({ description: 'The same as `expand`, under the name the SDK knows it by.' }),
  })
  .catchall(z.string())
  .meta({ id: 'SdkToken', description: "The SDK's credential, with whatever else the vendor's login held." });

export const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int().min(400).max(599),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    detail: z.string().optional().meta({ description: 'What was wrong and what is allowed.' }),
    retryable: z.boolean().meta({ description: 'Whether the same request may succeed later, unchanged.' }),
    requestId: z.string(),
    vendorCode: z.int().optional().meta({ description: "The vendor's result code." }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457. `code` is what to branch on.' });

export const liveness = z.looseObject({ status: z.literal('ok') }).meta({ id: 'Liveness' });

export const readiness = z
  .looseObject({
    status: z.enum(['ready', 'not ready']),
    checks: z.record(z.string(), z.string()).meta({ description: '`ok`, or what is wrong, by dependency.' }),
  })
  .meta({ id: 'Readiness' });

const instant = z.string().meta({ format: 'date-time' });

export const account = z
  .looseObject({
    accessId: z.string().meta({ description: "The vendor's name for the account: a decimal integer of 64 bits." }),
    region: z.string().meta({ description: 'Country, ISO 3166-1 alpha-2, pinned at the first login.' }),
    terminals: z
      .array(
        z.looseObject({
          app: z.string(),
          uniqueId: z.string(),
          issuedAt: instant,
          expiresAt: instant,
          refreshAt: instant.meta({ description: 'When its token falls due for renewal.' }),
          generation: z.int().meta({ description: 'Larger is newer.' }),
          readSinceRefresh: z.boolean().meta({ description: 'Whether an app has read this generation.' }),
        }),
      )
      .meta({ description: 'Those whose tokens live, by app and uniqueId.' }),
  })
  .meta({ id: 'Account', description: 'Never a token.' });

export const lookup = z
  .record(z.string(), z.string())
  .meta({ id: 'Lookup', description: 'unionId by accessId; those not known are left out.' });
