import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { composeServices } from '../support/compose.ts';
import { readFile } from '../support/documents.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What matters to a mirror: the images, and the arguments of the builds. */
function sourcesWith(variables: Readonly<Record<string, string>>): Record<string, unknown> {
  const services = composeServices(ROOT, ['--profile', 'monitoring'], variables);
  return Object.fromEntries(
    Object.entries(services).map(([name, { image, build }]) => [name, build ? [image, build.args ?? {}] : image]),
  );
}

test('without variables, Docker Compose takes the public images, and builds with the defaults of the Dockerfile', () => {
  expect(sourcesWith({})).toEqual({
    broker: ['sdk-token-broker:local', {}],
    simulator: ['sdk-token-broker:local', {}],
    redis: 'redis:8-alpine',
    prometheus: expect.stringMatching(/^prom\/prometheus:v[\d.]+$/),
    grafana: expect.stringMatching(/^grafana\/grafana:[\d.]+$/),
  });
});

test('with variables, Docker Compose takes every image and every package from your mirrors', () => {
  const args = { BASE_IMAGE: 'mirror.example/node:24', NPM_REGISTRY: 'https://npm.mirror.example' };
  const images = { BROKER_IMAGE: 'mirror.example/broker:1', REDIS_IMAGE: 'mirror.example/redis:8' };
  const monitoring = { PROMETHEUS_IMAGE: 'mirror.example/prometheus:3', GRAFANA_IMAGE: 'mirror.example/grafana:12' };
  expect(sourcesWith({ ...args, ...images, ...monitoring })).toEqual({
    broker: [images.BROKER_IMAGE, args],
    simulator: [images.BROKER_IMAGE, args],
    redis: images.REDIS_IMAGE,
    prometheus: monitoring.PROMETHEUS_IMAGE,
    grafana: monitoring.GRAFANA_IMAGE,
  });
});

test('the Dockerfile takes every image and every package from the mirrors that its arguments name', () => {
  const lines = readFile('Dockerfile').split('\n');
  const stages = lines.filter((line) => /^FROM /.test(line)).map((line) => line.replace(/^FROM (--\S+ )?/, ''));
  const own = stages.filter((stage) => !/ AS default-(build-)?base$/.test(stage));
  expect(own).toHaveLength(2);
  for (const stage of own) expect(stage).toMatch(/^\$\{BASE_IMAGE:-default-(build-)?base\}/);
  const commands = lines.filter((line) => /^RUN .*npm (?!run )/.test(line));
  expect(commands).toHaveLength(1);
  expect(commands[0]).toContain('--registry "$NPM_REGISTRY"');
});
