import type { TextDictionary } from '@tracelake/domain';
import type { Dependencies } from './dependencies.ts';

/** Remembers the code of each dependency's text, so that an event costs no text lookup. */
export class DependencyTextCodes {
  readonly #dependencies: Dependencies;
  readonly #texts: TextDictionary;
  readonly #codePlusOne: Uint32Array;

  constructor(dependencies: Dependencies, texts: TextDictionary) {
    this.#dependencies = dependencies;
    this.#texts = texts;
    this.#codePlusOne = new Uint32Array(dependencies.count);
  }

  codeOf(dependency: number): number {
    const known = this.#codePlusOne[dependency] ?? 0;
    if (known !== 0) return known - 1;
    const code = this.#texts.codeOf(this.#dependencies.textOf(dependency));
    this.#codePlusOne[dependency] = code + 1;
    return code;
  }
}
