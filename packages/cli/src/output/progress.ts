import { formatBytes, formatDuration } from './quantity.ts';

export interface ProgressOptions {
  readonly stream: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly nowMs?: () => number;
}

const terminalIntervalMs = 200;
const plainIntervalMs = 5000;

/**
 * How far a transfer has come: one line rewritten in place on a terminal, else a line every few
 * seconds, so that a log of a short transfer holds the result alone.
 */
export class Progress {
  /** What else is known, such as the number of blocks; ends each line. */
  facts = '';
  readonly #options: ProgressOptions;
  readonly #nowMs: () => number;
  readonly #startMs: number;
  #shownAtMs: number;
  #bytes = 0;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#startMs = this.#nowMs();
    this.#shownAtMs = this.#startMs;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Says on a terminal what is waited for before the first byte. */
  wait(what: string): void {
    if (this.#options.stream.isTTY === true) this.#options.stream.write(`\r\x1b[K${what}`);
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    const isTerminal = this.#options.stream.isTTY === true;
    const now = this.#nowMs();
    if (now - this.#shownAtMs < (isTerminal ? terminalIntervalMs : plainIntervalMs)) return;
    this.#shownAtMs = now;
    this.#options.stream.write(isTerminal ? `\r\x1b[K${this.summary()}` : `${this.summary()}\n`);
  }

  /** Clears the rewritten line, so that what comes next starts at the margin. */
  end(): void {
    if (this.#options.stream.isTTY === true) this.#options.stream.write('\r\x1b[K');
  }

  summary(): string {
    const elapsedMs = Math.max(this.#nowMs() - this.#startMs, 1);
    const rate = formatBytes((this.#bytes / elapsedMs) * 1000);
    return `${formatBytes(this.#bytes)} in ${formatDuration(elapsedMs)} (${rate}/s)${this.facts}`;
  }
}
