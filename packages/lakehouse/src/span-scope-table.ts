import { TextMap } from '@tracelake/domain';
import type { SpanScope } from '@tracelake/transit';

/** Scopes of a run, each once, with the codes its rows use. */
export class SpanScopeTable {
  readonly scopes: SpanScope[] = [];
  readonly #codes = new TextMap<number>();

  codeOf(scope: SpanScope): number {
    // Carries are UTF-8, which has no lone surrogates; so neither has a scope of a run.
    const name = scope.name.toWellFormed();
    const target = scope.target.toWellFormed();
    const filename = scope.filename.toWellFormed();
    const { line, hash } = scope;
    const key = `${name.length},${target.length},${line},${name}${target}${filename}`;
    let code = this.#codes.get(key);
    if (code === undefined) {
      code = this.scopes.push({ name, target, filename, line, hash }) - 1;
      this.#codes.set(key, code);
    }
    return code;
  }
}
