import { type DestinationStream, pino } from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Facts beside a message, units in their names; an `error` field is printed with its cause chain. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * One JSON line a call. The message is constant and lower case; ids and counts go into the fields.
 * Levels: error = someone must act, warn = degraded and handled, info = state change, debug = per item.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines all carry these fields. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  readonly service: string;
  readonly level?: LogLevel;
  /** Where lines go; stdout when left out. Writes are synchronous, so none is lost on exit. */
  readonly destination?: DestinationStream;
}

/** Makes the logger of a service. `Secret` values print as `[redacted]`. */
export function createLogger(options: LoggerOptions): Logger {
  const root = pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
  return wrap(root);
}

function wrap(inner: pino.Logger): Logger {
  return {
    debug: (message, fields = {}) => inner.debug(fields, message),
    info: (message, fields = {}) => inner.info(fields, message),
    warn: (message, fields = {}) => inner.warn(fields, message),
    error: (message, fields = {}) => inner.error(fields, message),
    child: (fields) => wrap(inner.child({ ...fields })),
  };
}

const CAUSES_MAX = 5;

/** What a log line says of anything thrown: name, code, message, details, stack and up to five causes. */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const { code, details } = error as { code?: unknown; details?: unknown };
  return {
    name: error.name,
    code,
    message: error.message,
    details,
    // The stack of the outermost error locates the failure; causes add what happened.
    stack: depth === 0 ? error.stack : undefined,
    cause:
      error.cause === undefined || depth >= CAUSES_MAX
        ? undefined
        : describeError(error.cause, depth + 1),
  };
}
