export interface StatusLineOptions {
  readonly stream: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly nowMs?: () => number;
}

const terminalIntervalMs = 200;
const plainIntervalMs = 5000;

/** How far a long work has come, in the words of who does it: rewritten in place on a terminal, else a line every few seconds. */
export class StatusLine {
  readonly #stream: StatusLineOptions['stream'];
  readonly #nowMs: () => number;
  #shownAtMs: number;

  constructor(options: StatusLineOptions) {
    this.#stream = options.stream;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#shownAtMs = this.#nowMs();
  }

  update(text: () => string): void {
    const isTerminal = this.#stream.isTTY === true;
    const now = this.#nowMs();
    if (now - this.#shownAtMs < (isTerminal ? terminalIntervalMs : plainIntervalMs)) return;
    this.#shownAtMs = now;
    this.#stream.write(isTerminal ? `\r\x1b[K${text()}` : `${text()}\n`);
  }

  /** Clears the rewritten line, so that what comes next starts at the margin. */
  end(): void {
    if (this.#stream.isTTY === true) this.#stream.write('\r\x1b[K');
  }
}
