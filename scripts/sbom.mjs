import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The software bill of materials of the bundle, in CycloneDX 1.6. It has no timestamp and no serial number, so that the
 * same sources give the same file.
 * @param {string[]} folders of the packages in the bundle, relative to the project
 * @param {{ parent: string, name: string, license: string }[]} copies packages of which only files are copied. Their
 * version is a development dependency of the package in the folder `parent`, which has the files
 */
export async function billOfMaterials(folders, copies) {
  const lock = (await readJson('package-lock.json')).packages;
  const bundled = await Promise.all(
    folders.map(async (folder) => ({ folder, ...(await readJson(join(folder, 'package.json'))) })),
  );
  const copied = await Promise.all(
    copies.map(async ({ parent, name, license }) => {
      const { devDependencies } = await readJson(join(parent, 'package.json'));
      return { folder: `${parent}/node_modules/${name}`, parent, name, license, version: devDependencies[name] };
    }),
  );
  const references = new Map([...bundled, ...copied].map(({ folder, ...of }) => [folder, packageUrl(of)]));
  const root = await readJson('package.json');
  // A package may be installed in several folders. It is one component.
  const components = new Map();
  const dependsOn = new Map();
  for (const { folder, ...of } of [{ folder: '', ...root }, ...bundled, ...copied]) {
    const reference = packageUrl(of);
    if (folder !== '') components.set(reference, { ...component('library', of), ...hashes(lock[folder]?.integrity) });
    const found = namesIn(of).flatMap((name) => resolve(folder, name, references) ?? []);
    const parts = folder === '' ? copied.map(packageUrl) : [];
    dependsOn.set(reference, new Set([...(dependsOn.get(reference) ?? []), ...found, ...parts]));
  }
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: component('application', root) },
    components: [...components.values()],
    dependencies: [...dependsOn].map(([ref, on]) => ({ ref, dependsOn: [...on].sort() })),
  };
}

/** The packages that a package may load, also those that it loads only if they are installed. */
function namesIn({ dependencies = {}, optionalDependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} }) {
  return Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies, ...peerDependenciesMeta });
}

async function readJson(path) {
  return JSON.parse(await readFile(path, 'utf8'));
}

function component(type, { name, version, license }) {
  const [, group, shortName] = /^(?:(@[^/]+)\/)?(.+)$/.exec(name);
  return {
    type,
    'bom-ref': packageUrl({ name, version }),
    ...(group && { group }),
    name: shortName,
    version,
    purl: packageUrl({ name, version }),
    licenses: [/^[\w.+-]+$/.test(license) ? { license: { id: license } } : { expression: license }],
  };
}

function packageUrl({ name, version }) {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

/** The package that Node.js would load for `name` in this folder, if it is in the bundle. */
function resolve(folder, name, references) {
  for (let at = folder; ; at = at.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const found = references.get(join(at, 'node_modules', name));
    if (found !== undefined || at === '') return found;
  }
}

/** The digests of the archive that the package was installed from, as the lock file has them. */
function hashes(integrity) {
  const digests = (integrity ?? '').split(' ').flatMap((entry) => {
    const [, bits, base64] = /^sha(256|384|512)-(.+)$/.exec(entry) ?? [];
    return bits ? [{ alg: `SHA-${bits}`, content: Buffer.from(base64, 'base64').toString('hex') }] : [];
  });
  return digests.length > 0 ? { hashes: digests } : {};
}
