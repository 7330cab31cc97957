export interface AppErrorOptions {
  /** Whether the same call may succeed later without a change by the caller. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** Facts for the log and for the answer: ids, limits, counts. Never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * Base of every operating failure. `code` comes from the closed list of the package that throws it
 * (`'storage.object-missing'`); services map codes to HTTP answers and bus outcomes in one file each.
 */
export class AppError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: Code, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

/** The message of anything thrown, for logs and problem documents. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
