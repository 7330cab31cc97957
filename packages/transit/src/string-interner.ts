import { hash } from 'node:crypto';
import type { Dependencies } from './dependencies.ts';

/**
 * V8 hashes longer strings by their length alone, so that a map of many equally long ones takes time that grows
 * with the square of their number.
 */
const MAP_KEY_CHARACTERS_MAX = 16_000;
/** No decoded text holds a lone surrogate, so no text equals the key of a longer one. */
const LONG_KEY_PREFIX = '\ud800';

/** Gives each distinct text of a block a code, counted from zero. */
export class StringInterner {
  readonly strings: string[] = [];
  readonly #codes = new Map<string, number>();

  codeOf(text: string): number {
    const key =
      text.length <= MAP_KEY_CHARACTERS_MAX ? text : LONG_KEY_PREFIX + hash('sha256', text, 'hex');
    const known = this.#codes.get(key);
    if (known !== undefined) return known;
    const code = this.strings.length;
    this.strings.push(text);
    this.#codes.set(key, code);
    return code;
  }
}

/** Remembers the code of each dependency's text, so that an event costs no text lookup. */
export class DependencyTextCodes {
  readonly #dependencies: Dependencies;
  readonly #interner: StringInterner;
  readonly #codePlusOne: Uint32Array;

  constructor(dependencies: Dependencies, interner: StringInterner) {
    this.#dependencies = dependencies;
    this.#interner = interner;
    this.#codePlusOne = new Uint32Array(dependencies.count);
  }

  codeOf(dependency: number): number {
    const known = this.#codePlusOne[dependency] ?? 0;
    if (known !== 0) return known - 1;
    const code = this.#interner.codeOf(this.#dependencies.textOf(dependency));
    this.#codePlusOne[dependency] = code + 1;
    return code;
  }
}
