/** How severe a message for people is. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Takes messages for people: `console`, pino, winston and the like have these methods. */
export interface Logger {
  /** Something failed that somebody has to look at. */
  error(message: string): void;
  /** Something is not as it should be. */
  warn(message: string): void;
  /** Something has happened. */
  info(message: string): void;
  /** What helps to find a fault; messages of the level `trace`, too, where there is no `trace`. */
  debug(message: string): void;
  /** The finest. */
  trace?(message: string): void;
}

/** @internal Hands a message to a logger. */
export function logTo(logger: Logger, level: LogLevel, message: string): void {
  // console.trace prints a stack, which says nothing here.
  if (level === 'trace' && (logger.trace === undefined || logger === (console as Logger))) logger.debug(message);
  else (logger[level] as (message: string) => void).call(logger, message);
}
