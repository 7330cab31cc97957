/** Scopes of spans: what a span's description, or its location and name, resolve to. Equal scopes share one entry. */
import { ensureExists, TextDictionary } from '@tracelake/domain';
import type { Dependencies } from './dependencies.ts';
import { DependencyTextCodes } from './dependency-text-codes.ts';
import { IdTable } from './id-table.ts';
import { scopeHash } from './scope-hash.ts';
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
  readonly #texts = new TextDictionary();
  readonly #textCodes: DependencyTextCodes;
  readonly #scopeByIdentity = new Map<string, number>();
  readonly #scopePlusOneByDescription: Uint32Array;
  readonly #scopeByLocationAndName = new IdTable(16);

  constructor(dependencies: Dependencies, textCharactersMax: number) {
    this.#dependencies = dependencies;
    this.#budget = new TextBudget(textCharactersMax);
    this.#textCodes = new DependencyTextCodes(dependencies, this.#texts);
    this.#scopePlusOneByDescription = new Uint32Array(dependencies.count);
  }

  scopeOfDescription(description: number): number {
    const known = this.#scopePlusOneByDescription[description] ?? 0;
    if (known !== 0) return known - 1;
    const name = this.#dependencies.memberDependency(description, 'name');
    const scope = this.#addScope(name, description);
    this.#scopePlusOneByDescription[description] = scope + 1;
    return scope;
  }

  scopeOfNamedSpan(location: number, name: number): number {
    const known = this.#scopeByLocationAndName.find(location, name);
    if (known >= 0) return known;
    const scope = this.#addScope(name, location);
    this.#scopeByLocationAndName.insert(location, name, scope);
    return scope;
  }

  #addScope(nameDependency: number, location: number): number {
    const nameCode = this.#textCodes.codeOf(nameDependency);
    const targetCode = this.#memberCode(location, 'target');
    const filenameCode = this.#memberCode(location, 'file');
    const line = this.#dependencies.memberU32(location, 'line');
    const identity = `${nameCode},${targetCode},${filenameCode},${line}`;
    const known = this.#scopeByIdentity.get(identity);
    if (known !== undefined) return known;
    const name = this.#textOf(nameCode);
    const target = this.#textOf(targetCode);
    const filename = this.#textOf(filenameCode);
    this.#budget.spend(name.length + target.length + filename.length);
    const hash = scopeHash(name, filename, target, line);
    const scope = this.scopes.length;
    this.scopes.push({ name, target, filename, line, hash });
    this.#scopeByIdentity.set(identity, scope);
    return scope;
  }

  #textOf(code: number): string {
    return ensureExists(this.#texts.texts[code], 'an interned text');
  }

  #memberCode(record: number, member: string): number {
    return this.#textCodes.codeOf(this.#dependencies.memberDependency(record, member));
  }
}
