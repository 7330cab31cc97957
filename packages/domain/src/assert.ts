/** Stops on a bug: the message says which invariant does not hold. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant violated: ${message}`);
}

/** Returns the value, or stops on a bug when there is none. */
export function ensureExists<T>(value: T | null | undefined, what: string): T {
  assert(value !== null && value !== undefined, `${what} is missing`);
  return value;
}

/** For the end of a `switch` over a closed set: does not type-check while a member is unhandled. */
export function assertUnreachable(value: never): never {
  throw new Error(`invariant violated: unexpected value ${String(value)}`);
}
