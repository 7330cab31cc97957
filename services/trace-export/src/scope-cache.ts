import type { ScopeText } from '@tracelake/parquet';
import { InternedScope } from '@tracelake/perfetto';

/** The interned scopes of a dictionary, each made once, all dropped with it. A dictionary may grow. */
export class ScopeCache {
  readonly #ofDictionary = new WeakMap<readonly ScopeText[], InternedScope[]>();

  /** In the dictionary's order. */
  scopesOf(dictionary: readonly ScopeText[]): readonly InternedScope[] {
    const scopes = this.#ofDictionary.get(dictionary) ?? [];
    if (scopes.length === 0) this.#ofDictionary.set(dictionary, scopes);
    for (const { name, target, filename, line } of dictionary.slice(scopes.length)) {
      scopes.push(new InternedScope({ name, category: target, file: filename, line }));
    }
    return scopes;
  }
}
