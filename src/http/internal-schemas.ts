import { z } from 'zod';
import { PATH_RULES } from './account-path.ts';
import { sdkTokenQuery } from './schemas.ts';

const unionId = z.string().meta({ description: `The account: ${PATH_RULES.unionId}.` });
const uniqueId = z.string().meta({ description: `The terminal (phone): ${PATH_RULES.uniqueId}.` });

export const accountPath = z.strictObject({ unionId });
export const terminalPath = z.strictObject({ unionId, uniqueId });

export const terminalTokenQuery = sdkTokenQuery.omit({ uniqueId: true });
export const terminalQuery = z.strictObject({
  app: sdkTokenQuery.shape.app.meta({ description: 'The edition of the app; all of them where it is left out.' }),
});

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
