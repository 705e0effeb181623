import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { onTestFinished } from 'vitest';
import { freePort } from './free-port.ts';
import { newFolder } from './new-folder.ts';

const DAY_MS = 86_400_000;

/** The paths of two files in PEM. The certificate is its own authority. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** @param name as an extension has it, like `DNS:vendor`. @param age days since its life began */
export function makeCertificate(daysLeft = 80, name = 'IP:127.0.0.1', age = 80): Certificate {
  const folder = newFolder();
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const inDays = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString().replace(/[-:T]|\.\d+/g, '');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
  const times = ['-not_before', inDays(-age), '-not_after', inDays(daysLeft)];
  const subject = ['-subj', '/CN=server', '-addext', `subjectAltName=${name}`];
  execFileSync('openssl', ['req', '-x509', ...newKey, '-out', cert, ...times, ...subject], { stdio: 'pipe' });
  return { key, cert };
}

/** The port of 127.0.0.1 at which the server at `port` speaks TLS, until the test is over. */
export async function tlsInFrontOf(port: number | string, { key, cert }: Certificate): Promise<number> {
  const ownPort = await freePort();
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => {
    const upstream = connect(Number(port), '127.0.0.1');
    socket.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', () => socket.destroy()).pipe(socket);
    socket.pipe(upstream);
  });
  server.listen(ownPort, '127.0.0.1');
  onTestFinished(() => void server.close());
  return ownPort;
}

/** Settings that make a Redis also listen for TLS on a second port. */
export function tlsSettings(tlsPort: number, { key, cert }: Certificate): (readonly [string, string])[] {
  return [
    ['tls-port', `${tlsPort}`],
    ['tls-cert-file', cert],
    ['tls-key-file', key],
    ['tls-ca-cert-file', cert],
    ['tls-auth-clients', 'no'],
  ];
}
