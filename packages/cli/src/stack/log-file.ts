import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

const logBytesMax = 32 * 1024 * 1024;

/**
 * An append-only log of bounded size: past 32 MiB it becomes `FILE.1`, replacing the one before.
 * Writes are synchronous, so that the last words of a crash are there; a failed write is dropped.
 */
export class LogFile implements Disposable {
  readonly path: string;
  #fd: number;
  #bytes: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'a');
    this.#bytes = fstatSync(this.#fd).size;
  }

  write(text: string): void {
    try {
      if (this.#bytes > logBytesMax) this.#rotate();
      this.#bytes += writeSync(this.#fd, text);
    } catch {
      // A full disk must not take the stack down with it.
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #rotate(): void {
    renameSync(this.path, `${this.path}.1`);
    const old = this.#fd;
    this.#fd = openSync(this.path, 'a');
    this.#bytes = 0;
    closeSync(old);
  }
}
