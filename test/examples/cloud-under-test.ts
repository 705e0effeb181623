import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseEnv, promisify } from 'node:util';
import { type ChildProgram, startProgram } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { type PlainAnswer, plainRequest } from '../support/plain-request.ts';
import { onPath, systemBinary } from '../support/system-binary.ts';

const FOLDER = fileURLToPath(new URL('../../examples/clouds/', import.meta.url));
/** The first build downloads packages. */
const BUILD_MS = 600_000;
/** Java takes a minute on a busy machine. */
const START_MS = 240_000;

/** The folders of examples/clouds/ that hold a cloud. */
export const CLOUDS = readdirSync(FOLDER).filter((name) => existsSync(`${FOLDER}${name}/run.json`));

type Command = readonly [program: string, ...args: string[]];

/** Content of the file run.json. */
interface Run {
  /** One command or several. Empty: there is nothing to build. */
  readonly build: readonly string[] | readonly Command[];
  readonly start: Command;
  /** Repeats the erasures that failed, if the cloud does not do so by itself. */
  readonly cron?: Command;
  /** `cookie NAME` or `bearer at PATH`, where PATH leads to the token in the answer of a login. */
  readonly session: string;
}

/** Headers with the session, as the app sends them to the cloud and to the broker. */
export type Session = Readonly<Record<string, string>>;

export interface Person {
  readonly name: string;
  readonly password: string;
  readonly country: string;
}

/** Why the cloud does not run here. Only the tools of Java may be missing: the tests install the others. */
export function reasonToSkip(cloud: string): string | undefined {
  if (!readdirSync(FOLDER + cloud).includes('pom.xml')) return undefined;
  if (process.env['JAVA_CLOUDS'] === undefined) return 'npm run test:examples runs it, in minutes';
  const missing = ['java', 'mvn'].filter((tool) => !onPath(tool));
  return missing.length === 0 ? undefined : `there is no ${missing.join(' and no ')} on the PATH`;
}

/** One cloud of examples/clouds/. Its data is in a temporary folder. */
export class CloudUnderTest {
  readonly #folder: string;
  readonly #run: Run;
  readonly #env: Record<string, string>;
  readonly #programs: ChildProgram[] = [];
  readonly dataDir = mkdtempSync(join(tmpdir(), 'example-cloud-'));
  readonly url: string;
  /** The settings of the broker for this cloud: its file broker.env, with the port of this cloud. */
  readonly brokerSettings: Readonly<Record<string, string>>;

  private constructor(cloud: string, port: number) {
    this.#folder = FOLDER + cloud;
    this.#run = JSON.parse(readFileSync(`${this.#folder}/run.json`, 'utf8'));
    this.#env = { PORT: `${port}`, DATA_DIR: this.dataDir };
    this.url = `http://127.0.0.1:${port}`;
    const settings = readFileSync(`${this.#folder}/broker.env`, 'utf8');
    const local = /http:\/\/(?:127\.0\.0\.1|localhost):\d+/g;
    this.brokerSettings = parseEnv(settings.replaceAll(local, this.url)) as Record<string, string>;
  }

  static async build(cloud: string): Promise<CloudUnderTest> {
    const built = new CloudUnderTest(cloud, await freePort());
    for (const [program = '', ...args] of commandsOf(built.#run.build)) {
      await promisify(execFile)(program, args, { cwd: built.#folder, timeout: BUILD_MS, maxBuffer: 2 ** 26 });
    }
    return built;
  }

  /** Starts the cloud, and waits until it answers. */
  async start(broker: { readonly url: string; readonly key: string }, env?: Record<string, string>): Promise<void> {
    Object.assign(this.#env, { BROKER_ADMIN_URL: broker.url, BROKER_ADMIN_KEY: broker.key }, env);
    const program = startProgram(this.#run.start, this.#env, { cwd: this.#folder });
    this.#programs.push(program);
    const isUp = async () => (await plainRequest(`${this.url}/healthz`, { timeoutMs: 5_000 })).status === 200;
    await eventually(isUp, { timeoutMs: START_MS, everyMs: 100 }).catch((cause: unknown) => {
      throw new Error(`the cloud does not answer: ${cause}\n${program.log().join('\n')}`, { cause });
    });
  }

  /** Repeats the erasures that failed, or lets the cloud do so. */
  async eraseAgain(): Promise<void> {
    const [program, ...args] = this.#run.cron ?? [];
    const options = { cwd: this.#folder, env: { ...process.env, ...this.#env } };
    if (program) await promisify(execFile)(program, args, options);
    else await sleep(2_500);
  }

  async stop(): Promise<void> {
    await this.#programs.at(-1)?.stop();
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.dataDir, { recursive: true });
  }

  /** The output of all starts. */
  log(): string {
    return this.#programs.flatMap((program) => program.log()).join('\n');
  }

  register(person: Person): Promise<PlainAnswer> {
    return this.#send('POST', '/register', {}, { ...person });
  }

  /** Returns the session, or `undefined` if the cloud refuses the login. */
  async logIn({ name, password }: Person, uniqueId = 'my-phone'): Promise<Session | undefined> {
    const answer = await this.#send('POST', `/login?uniqueId=${uniqueId}`, {}, { name, password });
    const [kind, value = ''] = this.#run.session.split(/ (?:at )?/);
    if (answer.status !== 200) return undefined;
    if (kind === 'cookie') {
      const cookies = (answer.headers['set-cookie'] ?? []).map((cookie) => cookie.split(';')[0] ?? '');
      const cookie = cookies.findLast((one) => one.startsWith(`${value}=`));
      return cookie === undefined ? undefined : { cookie };
    }
    const token = value.split('.').reduce<unknown>((found, key) => Object(found)[key], JSON.parse(answer.body));
    return typeof token === 'string' ? { authorization: `Bearer ${token}` } : undefined;
  }

  logOut(session: Session, uniqueId: string): Promise<PlainAnswer> {
    return this.post(`/logout?uniqueId=${uniqueId}`, session);
  }

  post(path: string, session: Session): Promise<PlainAnswer> {
    return this.#send('POST', path, session);
  }

  deleteAccount(session: Session): Promise<PlainAnswer> {
    return this.#send('DELETE', '/account', session);
  }

  /** Paths and permissions of the files of the cloud. */
  files(): { readonly path: string; readonly mode: number }[] {
    return readdirSync(this.dataDir, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
      const path = join(this.dataDir, name);
      const status = statSync(path);
      return status.isFile() ? [{ path, mode: status.mode & 0o777 }] : [];
    });
  }

  #send(method: string, path: string, session: Session, body?: Record<string, string>): Promise<PlainAnswer> {
    const headers = { ...session, ...(body && { 'content-type': 'application/json' }) };
    return plainRequest(this.url + path, {
      method,
      headers,
      timeoutMs: 60_000,
      ...(body && { body: JSON.stringify(body) }),
    });
  }
}

function commandsOf(build: Run['build']): readonly (readonly string[])[] {
  if (build.length === 0) return [];
  return build.every((part) => typeof part === 'string') ? [build] : build;
}

/** Installs PHP if the cloud needs it. */
export function installPhp(cloud: string): void {
  if (!cloud.startsWith('php-')) return;
  const packages = { 'apt-get': 'php-cli php-intl', apk: 'php84 php84-session php84-intl', dnf: 'php-cli php-intl' };
  systemBinary({ program: 'php', packages, need: `examples/clouds/${cloud} needs PHP` });
}
