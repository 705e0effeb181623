/** The part of a pino logger that the modules use. Never log a token, a session, a key or an account id. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
