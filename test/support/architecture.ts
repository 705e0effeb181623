import { isBuiltin } from 'node:module';
import { allImports, importCircles, type Sources, withoutComments } from './imports.ts';

const rank0 = ['token'];
const rank1 = ['broker', 'session', 'vendor-api', 'store', 'telemetry'];
const rank2 = ['http'];
const aside = ['logger', 'proxies', 'simulator'];
const upTo2 = [...rank0, ...rank1, ...rank2];
const all = [...upTo2, ...aside, 'config', 'service', 'commands', 'main'];

/** The modules that a module may import besides itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  main: all,
  commands: all,
  service: [...upTo2, ...aside, 'config'],
  config: upTo2,
  http: [...rank0, 'broker'],
  ...Object.fromEntries(rank1.map((module) => [module, rank0])),
  logger: rank0,
  proxies: [],
  simulator: rank0,
  token: [],
  '../console': [],
};

/**
 * The page runs in a browser: of these modules it may import types, and nothing that runs. It calls the API of `http`.
 */
const mayImportTypesOf: Readonly<Record<string, readonly string[]>> = { '../console': ['token', 'http'] };

/** Packages that only one part of `src/` may import. */
const homes: readonly { readonly npm: RegExp; readonly home: RegExp }[] = [
  { npm: /^undici$/, home: /^((vendor-api|session)\/|proxies\.ts$)/ },
  { npm: /^ioredis$/, home: /^store\/redis\// },
  { npm: /^fengari$/, home: /^store\/memory\// },
  { npm: /^(fastify|fastify-.*|@fastify\/.*)$/, home: /^http\// },
  { npm: /^(prom-client|@opentelemetry\/.*)$/, home: /^telemetry\// },
  {
    npm: /^zod$/,
    home: /^(config(\.ts|\/.*)|vendor-api\/answer\.ts|store\/(.*\/)?[\w-]*codec\.ts|telemetry\/replica-summary\.ts|simulator\/vendor-settings\.ts|http\/.*)$/,
  },
];

/** Globals that only one file may use. */
const restrictedGlobals: readonly { readonly name: string; readonly code: RegExp; readonly only: string }[] = [
  { name: 'process.env', code: /\bprocess\s*(\.\s*env\b|\[\s*['"]env)/, only: 'main.ts' },
  { name: 'Date.now', code: /\bDate\s*\.\s*now\b/, only: 'token/clock.ts' },
  { name: 'new Date()', code: /\bnew Date\b(\s*\(\s*\)|(?!\s*\())/, only: 'token/clock.ts' },
  { name: 'Math.random', code: /\bMath\s*\.\s*random\b/, only: 'token/clock.ts' },
];

/**
 * The modules that a simulation runs: all their time passes through the `Clock`. `store/redis` talks to real sockets.
 */
const underVirtualTime = /^(token|broker|vendor-api|session|store\/memory)\//;
/** Timers of Node, and clocks besides `Date`. A method such as `server.setTimeout` does not match. */
const realTime =
  /(?<![.\w])(setTimeout|setInterval|setImmediate)\b|\bAbortSignal\s*\.\s*timeout\b|\bperformance\b|\bhrtime\b|\bnode:(timers|perf_hooks)\b/;

/** A longer file owns more than one concept. */
const MAX_LINES = 400;
/** As the formatter, which leaves comments as they are. */
const MAX_COLUMNS = 120;
/** A shorter file needs two importers. */
const MIN_LINES = 40;

/** The folder or file directly under `src/` or beside it that contains the path. */
function moduleOf(path: string): string {
  return /^(?:\.\.\/)*[^/]+/.exec(path)?.[0].replace(/\.ts$/, '') ?? '';
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

export function rankViolations(sources: Sources): string[] {
  const unknown = [...sources.keys()]
    .filter((path) => mayImport[moduleOf(path)] === undefined)
    .map((path) => `${path} is in no module of the architecture`);
  const wrong = allImports(sources).filter(({ from, file, isTypeOnly }) => {
    if (file === undefined) return false;
    const [own, other] = [moduleOf(from), moduleOf(file)];
    const isTypeAllowed = isTypeOnly && mayImportTypesOf[own]?.includes(other) === true;
    return own !== other && mayImport[own]?.includes(other) !== true && !isTypeAllowed;
  });
  return [...unknown, ...wrong.map(({ from, specifier }) => `${from} may not import ${specifier}`)];
}

export function packageViolations(sources: Sources): string[] {
  return allImports(sources)
    .filter(({ file, specifier }) => file === undefined && !isBuiltin(specifier))
    .filter(({ from, specifier }) => {
      const npm = packageOf(specifier);
      const isOutsideHome = homes.some((rule) => rule.npm.test(npm) && !rule.home.test(from));
      return isOutsideHome || moduleOf(from) === 'token';
    })
    .map(({ from, specifier }) => `${from} may not import ${specifier}`);
}

export function circleViolations(sources: Sources): string[] {
  return importCircles(sources).map((circle) => `import circle: ${[...circle, circle[0]].join(' → ')}`);
}

export function globalViolations(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) =>
    restrictedGlobals
      .filter(({ code, only }) => path !== only && code.test(withoutComments(text)))
      .map(({ name, only }) => `${path} uses ${name}, which only ${only} may use`),
  );
}

export function realTimeViolations(sources: Sources): string[] {
  return [...sources]
    .filter(([path]) => underVirtualTime.test(path) && path !== 'token/clock.ts')
    .flatMap(
      ([path, text]) =>
        realTime
          .exec(withoutComments(text))
          ?.slice(0, 1)
          .map((found) => ({ path, found })) ?? [],
    )
    .map(({ path, found }) => `${path} uses ${found} instead of the Clock`);
}

/** @param paths file paths with `/` as separator */
export function nameViolations(paths: Iterable<string>): string[] {
  const vague = /^(utils?|helpers?|common|shared|core|types?|index)$/;
  return [...paths].flatMap((path) =>
    path
      .split('/')
      .filter((part) => vague.test(part.split('.')[0] ?? ''))
      .map((part) => `${path}: the name "${part}" does not describe the content`),
  );
}

export function barrelViolations(sources: Sources): string[] {
  return [...sources].filter(([, text]) => /^export \*/m.test(text)).map(([path]) => `${path} is a barrel`);
}

export function commentViolations(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) =>
    text
      .split('\n')
      .flatMap((line, at) => (line.length > MAX_COLUMNS && /^\s*(\/?\*|\/\/)/.test(line) ? [`${path}:${at + 1}`] : [])),
  );
}

/** Files that are too long for one concept, and small files that their only importer could contain. */
export function lengthViolations(sources: Sources): string[] {
  const importers = new Map<string, Set<string>>();
  const entries = new Set(['main.ts']);
  for (const { from, file = '', isOnDemand } of allImports(sources)) {
    importers.set(file, (importers.get(file) ?? new Set()).add(from));
    if (isOnDemand) entries.add(file);
  }
  return [...sources].flatMap(([path, text]) => {
    const lines = text.replace(/\n$/, '').split('\n').length;
    if (lines > MAX_LINES) return [`${path} has ${lines} lines, more than ${MAX_LINES}`];
    if (lines >= MIN_LINES || entries.has(path) || (importers.get(path)?.size ?? 0) > 1) return [];
    return [`${path} has ${lines} lines, fewer than ${MIN_LINES}, and fewer than two importers`];
  });
}
