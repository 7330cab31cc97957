import { hash } from 'node:crypto';

/**
 * V8 hashes longer strings by their length alone (from 16,384 characters on), so that a map of many equally long
 * ones takes time that grows with the square of their number.
 */
const KEY_CHARACTERS_MAX = 16_000;

/** A map with texts from outside as keys: as fast as `Map`, and not slowed down by many long texts of one length. */
export class TextMap<Value> {
  readonly #short = new Map<string, Value>();
  /** By SHA-256. */
  readonly #long = new Map<string, Value>();

  get size(): number {
    return this.#short.size + this.#long.size;
  }

  get(text: string): Value | undefined {
    if (text.length <= KEY_CHARACTERS_MAX) return this.#short.get(text);
    // Mostly there is none, and a text of megabytes need not be hashed.
    return this.#long.size === 0 ? undefined : this.#long.get(digestOf(text));
  }

  set(text: string, value: Value): void {
    if (text.length <= KEY_CHARACTERS_MAX) this.#short.set(text, value);
    else this.#long.set(digestOf(text), value);
  }
}

/** Gives each distinct text a code, counted from zero in order of first use. */
export class TextDictionary {
  /** By code. */
  readonly texts: string[] = [];
  readonly #codes = new TextMap<number>();

  codeOf(text: string): number {
    const known = this.#codes.get(text);
    if (known !== undefined) return known;
    const code = this.texts.push(text) - 1;
    this.#codes.set(text, code);
    return code;
  }

  /** Codes for all of `texts`, by their positions. */
  codesOf(texts: readonly string[]): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(texts, (text) => this.codeOf(text));
  }
}

/** Of the UTF-16 units: texts that differ in lone surrogates alone are the same bytes in UTF-8. */
function digestOf(text: string): string {
  return hash('sha256', Buffer.from(text, 'utf16le'), 'hex');
}
