/** Texts by code, each once: the dictionary of a string column while it is built. */
export class TextDictionary {
  readonly texts: string[] = [];
  readonly #codes = new Map<string, number>();

  codeOf(text: string): number {
    let code = this.#codes.get(text);
    if (code === undefined) {
      code = this.texts.push(text) - 1;
      this.#codes.set(text, code);
    }
    return code;
  }

  /** Codes for all of `texts`, by their positions. */
  codesOf(texts: readonly string[]): Uint32Array {
    return Uint32Array.from(texts, (text) => this.codeOf(text));
  }
}
