/** The parts of Fengari that the store uses. They are those of the C API of Lua 5.3: https://www.lua.org/manual/5.3. */
declare module 'fengari' {
  export type LuaState = { readonly [opaque: symbol]: never };
  type CFunction = (state: LuaState) => number;

  const fengari: {
    to_luastring(text: string): Uint8Array;
    readonly lua: {
      readonly LUA_REGISTRYINDEX: number;
      readonly LUA_TNUMBER: number;
      readonly LUA_TSTRING: number;
      readonly LUA_TTABLE: number;
      lua_gettop(state: LuaState): number;
      lua_settop(state: LuaState, count: number): void;
      lua_pop(state: LuaState, count: number): void;
      lua_type(state: LuaState, index: number): number;
      lua_toboolean(state: LuaState, index: number): boolean;
      lua_tonumber(state: LuaState, index: number): number;
      lua_tostring(state: LuaState, index: number): Uint8Array;
      lua_pushboolean(state: LuaState, value: boolean): void;
      lua_pushnumber(state: LuaState, value: number): void;
      lua_pushstring(state: LuaState, value: Uint8Array): void;
      lua_pushcfunction(state: LuaState, value: CFunction): void;
      lua_newtable(state: LuaState): void;
      lua_getfield(state: LuaState, index: number, name: Uint8Array): number;
      lua_setfield(state: LuaState, index: number, name: Uint8Array): void;
      lua_getglobal(state: LuaState, name: Uint8Array): number;
      lua_setglobal(state: LuaState, name: Uint8Array): void;
      lua_rawgeti(state: LuaState, index: number, at: number): number;
      lua_rawseti(state: LuaState, index: number, at: number): void;
      lua_pcall(state: LuaState, args: number, results: number, handler: number): number;
    };
    readonly lauxlib: {
      luaL_newstate(): LuaState;
      luaL_loadstring(state: LuaState, code: Uint8Array): number;
      luaL_ref(state: LuaState, index: number): number;
      luaL_error(state: LuaState, message: Uint8Array): never;
    };
    readonly lualib: { luaL_openlibs(state: LuaState): void };
  };
  export default fengari;
}
