/**
 * The scopes of events, told apart by their hash: within a row group by the place of the hash in its dictionary, over
 * files by the hash. Two scopes that share one are found out, and nothing is read that way then.
 */

import type { ScopeText } from '../scope-dictionary.ts';

const NONE = 0xffff_ffff;

/** Grows as row groups are read. A scope's code is its index in `scopes`. */
export class ScopeTable {
  readonly scopes: ScopeText[] = [];
  readonly #codes = new Map<number, number>();

  /** The code of a scope; undefined when another one has its hash. */
  codeOf(hash: number, scope: ScopeText): number | undefined {
    const known = this.#codes.get(hash);
    if (known === undefined) {
      const code = this.scopes.push(scope) - 1;
      this.#codes.set(hash, code);
      return code;
    }
    const other = this.scopes[known];
    const isSame =
      other !== undefined &&
      other.name === scope.name &&
      other.target === scope.target &&
      other.filename === scope.filename &&
      other.line === scope.line;
    return isSame ? known : undefined;
  }
}

/** The one value that all rows of a hash have, by the hash's place; undefined when rows of one hash have two. Hot. */
export function valuesByHash(
  hashes: Uint32Array,
  values: Uint32Array,
  rowCount: number,
  hashCount: number,
): Uint32Array | undefined {
  const byHash = new Uint32Array(hashCount).fill(NONE);
  for (let row = 0; row < rowCount; row++) {
    const hash = hashes[row] ?? 0;
    const value = values[row] ?? 0;
    const known = byHash[hash];
    if (known === value) continue;
    if (known !== NONE) return undefined;
    byHash[hash] = value;
  }
  return byHash;
}
