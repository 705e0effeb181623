import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const HEAD = `# What a network without the internet needs: docs/production.md, "Without the internet".
# kind, name, version, digest. signed: an image or a chart, with its signature. image: only for the examples, and for a
# Redis of your own. base: only to build the image.
`;

/**
 * Everything that a company must copy to install this version, and its clients, from its own servers. The workflow adds
 * the digests of what it has pushed.
 */
export function mirrorList(tree: string, owner: string, version: string): string {
  const textOf = (path: string) => readFileSync(join(tree, path), 'utf8');
  const found = (path: string, pattern: RegExp) => [...textOf(path).matchAll(pattern)].map(([, name = '']) => name);
  const registry = `ghcr.io/${owner.toLowerCase()}`;
  const images = [
    ...found('docker-compose.yml', IMAGE),
    ...found('deploy/compose/compose.yml', IMAGE),
    ...found('deploy/helm/sdk-token-broker/values.yaml', /^ +\w+Image: (\S+)$/gm),
  ];
  const modules = found('clients/kotlin/pom.xml', /<module>(\S+)<\/module>/g).map((module) => `kotlin/${module}`);
  const jars = ['kotlin', ...modules, 'spring-boot-starter']
    .map((project) => textOf(`clients/${project}/pom.xml`).replace(/<parent>.*?<\/parent>/s, ''))
    .map((pom) => /<artifactId>(\S+)<\/artifactId>/.exec(pom)?.[1]);
  const lines = [
    ['signed', `${registry}/sdk-token-broker`, version],
    ['signed', `${registry}/charts/sdk-token-broker`, version],
    ...[...new Set(images)].map((image) => ['image', ...nameAndVersion(image)]),
    ...found('Dockerfile', /^FROM (\S+) AS default-base$/gm).map((image) => ['base', ...nameAndVersion(image)]),
    ...jars.map((name) => ['maven', `io.sdktokenbroker:${name}`, version]),
    ['npm', 'sdk-token-client', version],
    ['git', `https://github.com/${owner}/sdk-token-broker`, `v${version}`],
  ];
  return HEAD + lines.map((line) => `${line.join(' ')}\n`).join('');
}

/** The default of a variable, as the files for Compose name the images of others. */
const IMAGE = /image: \$\{\w+:-(?!\S*sdk-token-broker)(\S+)\}/g;

/** The name has the registry, which Docker leaves out. */
function nameAndVersion(image: string): readonly string[] {
  const [name = '', version = ''] = image.split(/:(?=[^:]+$)/);
  if (/^[^/]+\.[^/]+\//.test(name)) return [name, version];
  return [`docker.io/${name.includes('/') ? name : `library/${name}`}`, version];
}
