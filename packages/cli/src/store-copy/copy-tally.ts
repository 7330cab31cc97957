import { formatBytes } from '../output/quantity.ts';

export interface NamedProblem {
  readonly key: string;
  readonly reason: string;
}

/** Keys that are kept of each kind of trouble; the counts go on. */
const keptMax = 1000;

/** What a copy has come to. */
export class CopyTally {
  copied = 0;
  copiedBytes = 0;
  present = 0;
  /** Objects that the other store has with other bytes: create-only, so nothing was done about them. */
  differentCount = 0;
  failedCount = 0;
  /** Objects that a row names and neither store has. */
  missingCount = 0;
  readonly different: NamedProblem[] = [];
  readonly failed: NamedProblem[] = [];
  readonly missing: string[] = [];
  readonly #onProgress: (bytes: number) => void;

  constructor(onProgress: (bytes: number) => void) {
    this.#onProgress = onProgress;
  }

  get isWhole(): boolean {
    return this.differentCount + this.failedCount + this.missingCount === 0;
  }

  noteCopied(bytes: number): void {
    this.copied++;
    this.copiedBytes += bytes;
    this.#onProgress(bytes);
  }

  notePresent(): void {
    this.present++;
    this.#onProgress(0);
  }

  noteDifferent(key: string, reason: string): void {
    this.differentCount++;
    if (this.different.length < keptMax) this.different.push({ key, reason });
  }

  noteFailed(key: string, reason: string): void {
    this.failedCount++;
    if (this.failed.length < keptMax) this.failed.push({ key, reason });
  }

  noteMissing(key: string): void {
    this.missingCount++;
    if (this.missing.length < keptMax) this.missing.push(key);
  }

  describe(): string {
    return (
      `${this.copied} copied (${formatBytes(this.copiedBytes)}), ${this.present} there already, ` +
      `${this.differentCount} different, ${this.failedCount} failed, ${this.missingCount} missing`
    );
  }
}
