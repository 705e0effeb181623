// @ts-expect-error It has no types. Its functions are those of the C API: https://www.lua.org/manual/5.3.
import fengari from 'fengari';
import { LUA_SCRIPTS, type ScriptName } from '../redis/lua-scripts.ts';

const { lua, lauxlib, lualib, to_luastring: bytes } = fengari;

/** A running script, with its stack of values. */
type LuaState = unknown;

/** The answer of a command or a script. A string has one character for each byte (Latin-1). */
export type Reply = string | number | null | readonly Reply[];

/** Executes a command for a script. @throws Error that ends the script */
export type Execute = (command: string, args: readonly string[]) => Reply;

/** These functions exist in Redis, but not in Lua 5.3. */
const REDIS = `
unpack = table.unpack
redis.pcall = redis.call
function redis.error_reply(text) return {err = text} end
`;

/** The numbers of Redis are doubles, and the integers of Fengari have 32 bits. So each script gets floats only. */
const INTEGER = /(?<![\w.'])\d+(?![\w.'])/g;

/** The Lua of this process. Scripts run one at a time, and each to its end, as in Redis. */
const state = lauxlib.luaL_newstate();
const compiled = new Map<ScriptName, number>();
let execute: Execute;

lualib.luaL_openlibs(state);
define('redis', { call: (running) => push(running, execute(...argumentsOf(running))) });
define('struct', { unpack: (running) => push(running, unsignedAt(...argumentsOf(running))) });
load(REDIS);
lua.lua_pcall(state, 0, 0, 0);

/** Runs a script, with `by` in the place of Redis. @throws Error with the text that Redis would answer */
export function runLua(name: ScriptName, keys: readonly string[], args: readonly string[], by: Execute): Reply {
  execute = by;
  for (const [list, values] of Object.entries({ KEYS: keys, ARGV: args })) {
    push(state, values);
    lua.lua_setglobal(state, bytes(list));
  }
  const known = compiled.get(name) ?? compile(name);
  lua.lua_rawgeti(state, lua.LUA_REGISTRYINDEX, known);
  try {
    if (lua.lua_pcall(state, 0, 1, 0) !== 0) throw new Error(`ERR ${textAt(state, -1)}`);
    return pull();
  } finally {
    lua.lua_settop(state, 0);
  }
}

function compile(name: ScriptName): number {
  load(LUA_SCRIPTS[name].lua.replace(INTEGER, '$&.0'));
  const reference = lauxlib.luaL_ref(state, lua.LUA_REGISTRYINDEX);
  compiled.set(name, reference);
  return reference;
}

function load(code: string): void {
  if (lauxlib.luaL_loadstring(state, bytes(code)) === 0) return;
  throw new SyntaxError(String(Buffer.from(lua.lua_tostring(state, -1))));
}

function define(library: string, functions: Readonly<Record<string, (running: LuaState) => void>>): void {
  lua.lua_newtable(state);
  for (const [name, run] of Object.entries(functions)) {
    lua.lua_pushcfunction(state, (running: LuaState) => {
      try {
        run(running);
      } catch (error) {
        lauxlib.luaL_error(running, bytes((error as Error).message));
      }
      return 1;
    });
    lua.lua_setfield(state, -2, bytes(name));
  }
  lua.lua_setglobal(state, bytes(library));
}

function argumentsOf(running: LuaState): [first: string, others: string[]] {
  const [first = '', ...others] = Array.from({ length: lua.lua_gettop(running) }, (_, at) => textAt(running, at + 1));
  return [first, others];
}

/** `struct.unpack('>I6', text, at)`. */
function unsignedAt(_format: string, [text = '', at]: readonly string[]): number {
  return Buffer.from(text, 'latin1').readUIntBE(Number(at) - 1, 6);
}

function textAt(running: LuaState, index: number): string {
  const isNumber = lua.lua_type(running, index) === lua.LUA_TNUMBER;
  // Lua would write a float with its fraction: 1.0.
  return isNumber
    ? String(lua.lua_tonumber(running, index))
    : Buffer.from(lua.lua_tostring(running, index)).toString('latin1');
}

/** Puts a value on the stack as Redis hands it to a script. */
function push(running: LuaState, value: Reply): void {
  if (value === null) lua.lua_pushboolean(running, false);
  else if (typeof value === 'number') lua.lua_pushnumber(running, value);
  else if (typeof value === 'string') lua.lua_pushstring(running, Buffer.from(value, 'latin1'));
  else {
    lua.lua_newtable(running);
    for (const [at, one] of value.entries()) {
      push(running, one);
      lua.lua_rawseti(running, -2, at + 1);
    }
  }
}

/** Reads the value on the stack as Redis answers it. @throws Error that the script answers */
function pull(): Reply {
  switch (lua.lua_type(state, -1)) {
    case lua.LUA_TNUMBER:
      return Math.trunc(lua.lua_tonumber(state, -1));
    case lua.LUA_TSTRING:
      return textAt(state, -1);
    case lua.LUA_TTABLE:
      return pullTable();
    default:
      return lua.lua_toboolean(state, -1) ? 1 : null;
  }
}

function pullTable(): Reply[] {
  const error = lua.lua_getfield(state, -1, bytes('err')) === lua.LUA_TSTRING ? textAt(state, -1) : undefined;
  lua.lua_pop(state, 1);
  if (error !== undefined) throw new Error(error);
  const values: Reply[] = [];
  for (;;) {
    const isEnd = lua.lua_rawgeti(state, -1, values.length + 1) === 0;
    if (!isEnd) values.push(pull());
    lua.lua_pop(state, 1);
    if (isEnd) return values;
  }
}
