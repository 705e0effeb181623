import { randomBytes, randomUUID, scrypt, timingSafeEqual } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { normalized } from '../clouds/node/names.js';

const hashPassword = promisify(scrypt);
const HASH_BYTES = 32;

/**
 * The accounts, in one JSON file. Replace this class by your database. An account is {unionId, account, nickName, country,
 * salt, hash}. The unionId never changes and says nothing about the person: the vendor learns it.
 * 账号保存在一个 JSON 文件中：请换成你的数据库。unionId 永不改变，也不含个人信息，因为厂商会得到它。
 */
export class Accounts {
  #file;
  #byUnionId = new Map();
  #byName = new Map();
  /** By unionId of a deleted account that the broker has not erased yet: how often its erasure was asked for. */
  #toErase = new Map();
  #saved = Promise.resolve();

  static async open(file) {
    const accounts = new Accounts();
    accounts.#file = file;
    const stored = await readFile(file, 'utf8').catch((error) => {
      if (error.code === 'ENOENT') return '{"accounts":[],"toErase":[]}';
      throw error;
    });
    const { accounts: known, toErase } = JSON.parse(stored);
    for (const account of known) accounts.#add(account);
    for (const unionId of toErase) accounts.#toErase.set(unionId, 1);
    return accounts;
  }

  byName(name) {
    return this.#byName.get(normalized(name));
  }

  byUnionId(unionId) {
    return this.#byUnionId.get(unionId);
  }

  /** Returns the new account, or undefined if somebody has this name or one that looks like it. */
  async create({ account: name, password, nickName, country }) {
    const account = normalized(name);
    const salt = randomBytes(16).toString('base64');
    const hash = (await hashPassword(password, salt, HASH_BYTES)).toString('base64');
    if (this.#byName.has(account)) return undefined;
    const created = { unionId: randomUUID(), account, nickName, country, salt, hash };
    this.#add(created);
    await this.#save();
    return created;
  }

  /** Returns the account with this name and password. It takes equally long for a name that nobody has. */
  async authenticate(name, password) {
    const account = this.byName(name);
    const hash = await hashPassword(password, account?.salt ?? 'nobody', HASH_BYTES);
    return account && timingSafeEqual(hash, Buffer.from(account.hash, 'base64')) ? account : undefined;
  }

  /** Deletes the account, and remembers that the broker must erase it. */
  async delete({ unionId, account }) {
    this.#byUnionId.delete(unionId);
    this.#byName.delete(account);
    await this.eraseLater(unionId);
  }

  eraseLater(unionId) {
    this.#toErase.set(unionId, (this.#toErase.get(unionId) ?? 0) + 1);
    return this.#save();
  }

  /** Pairs of unionId and number, for {@link erased}. */
  toErase() {
    return [...this.#toErase];
  }

  /** If the erasure was asked for again since `toErase()`, it is still to be done. */
  erased(unionId, number) {
    if (this.#toErase.get(unionId) !== number) return undefined;
    this.#toErase.delete(unionId);
    return this.#save();
  }

  #add(account) {
    this.#byUnionId.set(account.unionId, account);
    this.#byName.set(account.account, account);
  }

  /** One write after the other. A process that dies during a write leaves the former file. */
  #save() {
    const write = async () => {
      const content = { accounts: [...this.#byUnionId.values()], toErase: [...this.#toErase.keys()] };
      await writeFile(`${this.#file}.new`, JSON.stringify(content), { mode: 0o600 });
      await rename(`${this.#file}.new`, this.#file);
    };
    this.#saved = this.#saved.then(write, write);
    return this.#saved;
  }
}
