import type { ScopeText } from '@tracelake/parquet';
import { InternedScope } from '@tracelake/perfetto';

/** The interned scopes of a file's dictionary, made once and dropped with the dictionary. */
export class ScopeCache {
  readonly #ofDictionary = new WeakMap<readonly ScopeText[], readonly InternedScope[]>();

  /** In the dictionary's order. */
  scopesOf(dictionary: readonly ScopeText[]): readonly InternedScope[] {
    const known = this.#ofDictionary.get(dictionary);
    if (known !== undefined) return known;
    const scopes = dictionary.map(
      ({ name, target, filename, line }) =>
        new InternedScope({ name, category: target, file: filename, line }),
    );
    this.#ofDictionary.set(dictionary, scopes);
    return scopes;
  }
}
