// The accounts of the Node clouds, in files, and their erasure at the broker. Use your database in place of the files.
import { randomBytes, randomUUID, scrypt, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { normalized } from './names.js';

const { DATA_DIR = 'data', BROKER_ADMIN_URL = 'http://127.0.0.1:9090', BROKER_ADMIN_KEY } = process.env;

if (!BROKER_ADMIN_KEY) throw new Error('set BROKER_ADMIN_KEY to a token of the internal API of the broker');
process.umask(0o077); // Only this user may read the files.
mkdirSync(DATA_DIR, { recursive: true });
const pathOf = (name) => `${DATA_DIR}/${name}.json`;
export const readData = (name) => existsSync(pathOf(name)) && JSON.parse(readFileSync(pathOf(name), 'utf8'));
export function writeData(name, content) {
  writeFileSync(pathOf(`${name}-new`), JSON.stringify(content));
  renameSync(pathOf(`${name}-new`), pathOf(name));
}

const stored = readData('accounts') || {};
const accounts = new Map(stored.accounts); // By name, in the form in which names are compared.
const toErase = new Set(stored.toErase); // The ids of deleted accounts that the broker must still erase.
const save = () => writeData('accounts', { accounts: [...accounts], toErase: [...toErase] });
export const accountById = (id) => [...accounts.values()].find((account) => account.id === id);

const hashOf = (password, salt) => promisify(scrypt)(`${password}`, salt, 32);

/** Returns the HTTP status. The vendor gets the id of an account: it never changes and says nothing about the person. */
export async function register({ name, password, country }) {
  const normal = normalized(name);
  // The broker accepts only the codes of ISO 3166-1, for example not UK.
  if (!normal || !password || typeof password !== 'string' || !/^[A-Z]{2}$/.test(country)) return 400;
  const salt = randomBytes(16).toString('base64');
  const hash = await hashOf(password, salt);
  if (accounts.has(normal)) return 409;
  accounts.set(normal, { id: randomUUID(), country, salt, hash: hash.toString('base64') });
  save();
  return 201;
}

/** Returns the account with this name and password. It takes equally long for a name that nobody has. */
export async function authenticate({ name, password }) {
  const account = accounts.get(normalized(name));
  const hash = await hashOf(password, account?.salt ?? '');
  return account && typeof password === 'string' && timingSafeEqual(hash, Buffer.from(account.hash, 'base64'))
    ? account
    : undefined;
}

/** Deletes the account here, and then at the broker. If that fails, it is tried again until it succeeds. */
export async function deleteAccount({ id }) {
  for (const [name, account] of accounts) if (account.id === id) accounts.delete(name);
  toErase.add(id);
  await erase(id);
}

async function erase(id) {
  save();
  if (await deleteAtBroker(id)) toErase.delete(id);
  save();
}
async function eraseAgain() {
  for (const id of toErase) await erase(id);
  setTimeout(eraseAgain, 2_000).unref();
}
eraseAgain();

/** Deletes an account at the broker, or one terminal of it. Returns whether that succeeded, and logs a failure. */
export async function deleteAtBroker(path) {
  const headers = { authorization: `Bearer ${BROKER_ADMIN_KEY}` };
  const request = { method: 'DELETE', headers, signal: AbortSignal.timeout(10_000) };
  const answer = await fetch(`${BROKER_ADMIN_URL}/accounts/${path}`, request).catch(() => undefined);
  const failure = answer ? `status ${answer.status}` : 'no answer';
  if (!answer?.ok) process.stderr.write(`a logout or an erasure failed at the broker: ${failure}\n`);
  return answer?.ok === true;
}
