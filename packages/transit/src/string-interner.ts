import type { Dependencies } from './dependencies.ts';

/** Gives each distinct text of a block a code, counted from zero. */
export class StringInterner {
  readonly strings: string[] = [];
  readonly #codes = new Map<string, number>();

  codeOf(text: string): number {
    const known = this.#codes.get(text);
    if (known !== undefined) return known;
    const code = this.strings.length;
    this.strings.push(text);
    this.#codes.set(text, code);
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
