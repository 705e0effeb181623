import { createServer, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { listening } from './listening.ts';

export interface HttpProxy {
  /** With the user and the password, if it asks for them. */
  readonly url: string;
  /** `METHOD target` of each request that it let pass, and `407 target` of each other one. */
  readonly seen: string[];
  close(): Promise<void>;
}

/**
 * Starts an HTTP proxy on loopback that opens tunnels and forwards requests. It ends with the test.
 * @param ports the local port of each host that it knows, besides the addresses of loopback
 * @param credentials `user:password`; without it, everybody may use the proxy
 */
export async function startHttpProxy(ports: Readonly<Record<string, number>>, credentials = ''): Promise<HttpProxy> {
  const seen: string[] = [];
  const basic = `Basic ${Buffer.from(credentials).toString('base64')}`;
  const portOf = ({ hostname, port }: URL) => ports[hostname] ?? Number(port);
  const mayPass = (given: string | undefined, method: string | undefined, target: string | undefined) => {
    const passes = credentials === '' || given === basic;
    seen.push(`${passes ? method : 407} ${target}`);
    return passes;
  };
  const server = createServer((incoming, response) => {
    const { method, url } = incoming;
    const { 'proxy-authorization': given, ...headers } = incoming.headers;
    if (!mayPass(given, method, url)) return void response.writeHead(407).end();
    const target = new URL(url ?? '');
    const options = { port: portOf(target), path: target.pathname + target.search, method, headers };
    const forwarded = request({ host: '127.0.0.1', ...options }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    return void incoming.pipe(forwarded);
  });
  server.on('connect', ({ url, headers }, socket: Socket) => {
    socket.on('error', () => undefined);
    if (!mayPass(headers['proxy-authorization'], 'CONNECT', url)) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    const upstream = connect(portOf(new URL(`https://${url}`)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    socket.once('close', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
  });
  const { port, close } = await listening(server);
  return { url: `http://${credentials && `${credentials}@`}127.0.0.1:${port}`, seen, close };
}
