/**
 * What statements read that were asked before, by their text. The same text reads the same sources, so that planning
 * need not wait until it is parsed again. It is a guess: whoever parses decides what is read.
 */

import { isDeepStrictEqual } from 'node:util';
import type { SourceRef } from '../engine/protocol.ts';

const STATEMENTS_MAX = 500;
/** Of a statement that is remembered. */
const CHARS_MAX = 10_000;

export class KnownStatements {
  /** Least recently asked first. */
  readonly #sources = new Map<string, readonly SourceRef[]>();

  sourcesOf(sql: string): readonly SourceRef[] | undefined {
    return this.#sources.get(sql);
  }

  remember(sql: string, sources: readonly SourceRef[]): void {
    if (sql.length > CHARS_MAX) return;
    this.#sources.delete(sql);
    this.#sources.set(sql, sources);
    const [oldest] = this.#sources.keys();
    if (this.#sources.size > STATEMENTS_MAX && oldest !== undefined) this.#sources.delete(oldest);
  }
}

/** What is resolved from a guess while the statement is parsed; given up unless it is taken. */
export class EarlyResolution<Resolved extends { release(): Promise<void> }>
  implements AsyncDisposable
{
  readonly #sources: readonly SourceRef[] | undefined;
  readonly #giveUp = new AbortController();
  #resolved: Promise<Resolved> | undefined;

  /** Without a guess nothing is begun. */
  constructor(
    sources: readonly SourceRef[] | undefined,
    resolve: (sources: readonly SourceRef[], giveUp: AbortSignal) => Promise<Resolved>,
  ) {
    this.#sources = sources;
    this.#resolved = sources && resolve(sources, this.#giveUp.signal);
    // Met by whoever takes it.
    this.#resolved?.catch(() => undefined);
  }

  /** What the statement's sources resolve to, for whoever releases it, or undefined when the guess was another. */
  take(sources: readonly SourceRef[]): Promise<Resolved> | undefined {
    if (!isDeepStrictEqual(sources, this.#sources)) return undefined;
    const resolved = this.#resolved;
    this.#resolved = undefined;
    return resolved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#resolved === undefined) return;
    this.#giveUp.abort();
    const left = await this.#resolved.catch(() => undefined);
    await left?.release();
  }
}
