/** The registered routes, to tell a wrong method (405) from an unknown path (404). */
export class RouteTable {
  readonly #routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];

  add(methods: string | readonly string[], url: string): void {
    const list = typeof methods === 'string' ? [methods] : methods;
    this.#routes.push({ pattern: patternOf(url), methods: list });
  }

  /** The methods that a path can be asked with; empty when no route has it. */
  methodsOf(path: string): string[] {
    const methods = this.#routes
      .filter((route) => route.pattern.test(path))
      .flatMap((route) => route.methods);
    return [...new Set(methods)].sort();
  }
}

function patternOf(url: string): RegExp {
  const segments = url.split('/').map((segment) => {
    if (segment.startsWith(':')) return '[^/]+';
    if (segment === '*') return '.*';
    return segment.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${segments.join('/')}$`);
}
