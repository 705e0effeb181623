import { systemBinary } from './system-binary.ts';

/**
 * Path of `promtool`, the test program of Prometheus. Installs the package where this user may do so.
 * @throws Error that tells how to install it
 */
export function promtoolBinary(): string {
  return systemBinary({
    program: 'promtool',
    packages: { 'apt-get': 'prometheus', apk: 'prometheus', dnf: 'golang-github-prometheus', brew: 'prometheus' },
    need: 'The tests of the alerting rules and of the dashboard need promtool',
  });
}
