import { hash } from 'node:crypto';

/** Bytes of a line: a line feed, `block `, the id, a space, the content hash. */
const LINE_BYTES = 1 + 6 + 36 + 1 + 32;

/**
 * A digest of a set of blocks and their content, whatever the order they come in and however they are cut: the
 * SHA-256 of each, added up in lanes of 32 bits. Each block is to be added once.
 */
export class BlockSetDigest {
  readonly #lanes = new Uint32Array(8);
  #count = 0;

  /** Takes whole lines as `PartitionContent` has them; keeps nothing of them. */
  add(blockLines: Uint8Array): void {
    for (let at = 0; at < blockLines.length; at += LINE_BYTES) {
      const digest = hash('sha256', blockLines.subarray(at, at + LINE_BYTES), 'buffer');
      for (let lane = 0; lane < 8; lane++) {
        this.#lanes[lane] = (this.#lanes[lane] ?? 0) + digest.readUInt32LE(4 * lane);
      }
      this.#count += 1;
    }
  }

  /** Hexadecimal, after the number of blocks. */
  toString(): string {
    return `${this.#count}:${Buffer.from(this.#lanes.buffer).toString('hex')}`;
  }
}
