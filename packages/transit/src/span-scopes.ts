/** Scopes of spans: what a span's description, or its location and name, resolve to. Equal scopes share one entry. */
import type { Dependencies } from './dependencies.ts';
import { IdTable } from './id-table.ts';
import { scopeHash } from './scope-hash.ts';
import { StringInterner } from './string-interner.ts';
import { TextBudget } from './text-budget.ts';

/** Where a span was declared; two scopes are the same when all four fields but the hash are. */
export interface SpanScope {
  readonly name: string;
  readonly target: string;
  readonly filename: string;
  readonly line: number;
  /** See `scopeHash`; unsigned. */
  readonly hash: number;
}

export class SpanScopes {
  readonly scopes: SpanScope[] = [];
  readonly #dependencies: Dependencies;
  readonly #budget: TextBudget;
  readonly #texts = new StringInterner();
  readonly #scopeByIdentity = new Map<string, number>();
  readonly #scopePlusOneByDescription: Uint32Array;
  readonly #scopeByLocationAndName = new IdTable(16);

  constructor(dependencies: Dependencies, textCharactersMax: number) {
    this.#dependencies = dependencies;
    this.#budget = new TextBudget(textCharactersMax);
    this.#scopePlusOneByDescription = new Uint32Array(dependencies.count);
  }

  scopeOfDescription(description: number): number {
    const known = this.#scopePlusOneByDescription[description] ?? 0;
    if (known !== 0) return known - 1;
    const scope = this.#addScope(this.#dependencies.memberText(description, 'name'), description);
    this.#scopePlusOneByDescription[description] = scope + 1;
    return scope;
  }

  scopeOfNamedSpan(location: number, name: number): number {
    const known = this.#scopeByLocationAndName.find(location, name);
    if (known >= 0) return known;
    const scope = this.#addScope(this.#dependencies.textOf(name), location);
    this.#scopeByLocationAndName.insert(location, name, scope);
    return scope;
  }

  #addScope(name: string, location: number): number {
    const target = this.#dependencies.memberText(location, 'target');
    const filename = this.#dependencies.memberText(location, 'file');
    const line = this.#dependencies.memberU32(location, 'line');
    const codes = [name, target, filename].map((text) => this.#texts.codeOf(text));
    const identity = `${codes.join(',')},${line}`;
    const known = this.#scopeByIdentity.get(identity);
    if (known !== undefined) return known;
    this.#budget.spend(name.length + target.length + filename.length);
    const hash = scopeHash(name, filename, target, line);
    const scope = this.scopes.length;
    this.scopes.push({ name, target, filename, line, hash });
    this.#scopeByIdentity.set(identity, scope);
    return scope;
  }
}
