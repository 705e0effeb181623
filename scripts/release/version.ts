import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const NUMBER = /^(\d+)\.(\d+)\.(\d+)$/;

/**
 * How files name the version of the project. `VERSION` stands for it. The rest makes sure that it is not the version of
 * something else.
 */
const PLACES: readonly RegExp[] = [
  // package.json, package-lock.json twice, and package.json of the client for JavaScript.
  /("name": "sdk-token-(?:broker|client)",\s+"version": ")VERSION/g,
  // The documents of the APIs.
  /("info": \{\s+"title": "[^"]+",\s+"version": ")VERSION/g,
  // The Helm chart.
  /(^name: sdk-token-broker\n(?:.+\n)*?version: )VERSION/gm,
  /(^appVersion: )VERSION/gm,
  /(--version )VERSION/g,
  // The container image.
  /(sdk-token-broker:)VERSION/g,
  // The tag, in the address of the workflow that signs.
  /(refs\/tags\/v)VERSION/g,
  // Maven and Gradle.
  /(<groupId>io\.sdktokenbroker<\/groupId>\s+<artifactId>[\w-]+<\/artifactId>\s+<version>)VERSION/g,
  /(io\.sdktokenbroker:[\w-]+:)VERSION/g,
  // CocoaPods and Swift Package Manager.
  /(spec\.version = ')VERSION/g,
  /(pod 'SdkTokenBroker', .*\btag: 'v)VERSION/g,
  /(from: ")VERSION/g,
];

/** @throws Error if `version` is not of the form 1.2.3, or below the `present` one */
export function assertFollows(version: string, present: string): void {
  const [wanted, now] = [version, present].map((text) => NUMBER.exec(text)?.slice(1).map(Number));
  if (!wanted || !now) throw new Error(`${wanted ? present : version} is not a version of the form 1.2.3`);
  const difference = wanted.map((number, index) => number - (now[index] ?? 0)).find((number) => number !== 0) ?? 0;
  if (difference < 0) throw new Error(`${version} is below the present version, ${present}`);
}

export function withVersion(text: string, from: string, to: string): string {
  return PLACES.reduce((changed, { source, flags }) => {
    const place = new RegExp(source.replace('VERSION', `${from.replaceAll('.', '\\.')}(?![\\w-]|\\.\\d)`), flags);
    return changed.replaceAll(place, (_, before: string) => before + to);
  }, text);
}

/**
 * The heading `Unreleased` of the changelog becomes that of the version.
 * @throws Error if there is nothing below this heading
 */
export function withRelease(changelog: string, version: string, date: string): string {
  const heading = /^## Unreleased\n(?=\s*[^\s#]|\s*###)/m;
  if (!heading.test(changelog))
    throw new Error('CHANGELOG.md has no section "Unreleased" with text: nothing to release');
  return changelog.replace(heading, `## ${version} (${date})\n`);
}

/** @throws Error if the changelog does not have the version */
export function sectionOf(changelog: string, version: string): string {
  const [, section] =
    new RegExp(`^## ${version.replaceAll('.', '\\.')} \\([\\d-]+\\)\\n([\\s\\S]*?)(?=^## |$(?![\\s\\S]))`, 'm').exec(
      changelog,
    ) ?? [];
  if (section === undefined) throw new Error(`CHANGELOG.md has no section "${version}"`);
  return `${section.trim()}\n`;
}

export function presentVersion(folder: string): string {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}

/** The text files of the project, except the changelog: it keeps the versions of the past. */
export function filesWithVersions(folder: string): string[] {
  const tracked = execFileSync('git', ['grep', '-lI', '-F', presentVersion(folder)], { cwd: folder, encoding: 'utf8' });
  return tracked.split('\n').filter((path) => path !== '' && path !== 'CHANGELOG.md');
}

/**
 * Gives all files of the project the version, and the changelog its section.
 * @returns the files that changed
 * @throws Error if there is nothing to release. Nothing has changed then
 */
export function setVersion(folder: string, version: string, date: string): string[] {
  const present = presentVersion(folder);
  const textOf = (path: string) => readFileSync(join(folder, path), 'utf8');
  const files = filesWithVersions(folder).flatMap((path) => {
    const before = textOf(path);
    const after = withVersion(before, present, version);
    return after === before ? [] : [{ path, after }];
  });
  files.push({ path: 'CHANGELOG.md', after: withRelease(textOf('CHANGELOG.md'), version, date) });
  for (const { path, after } of files) writeFileSync(join(folder, path), after);
  return files.map(({ path }) => path);
}
