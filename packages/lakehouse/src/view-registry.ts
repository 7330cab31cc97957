import { parseUuid } from '@tracelake/domain';
import { LakehouseError } from './lakehouse-error.ts';
import type { ViewSet } from './view.ts';
import { view as asyncEvents } from './views/async-events.ts';
import { view as logEntries } from './views/log-entries.ts';
import { view as measures } from './views/measures.ts';
import { view as threadSpans } from './views/thread-spans.ts';

/** Every view set that is built from blocks. Adding one is adding its file and its line here. */
const VIEW_SETS: readonly ViewSet[] = [logEntries, measures, threadSpans, asyncEvents];

/** The view sets a service knows, by name. */
export class ViewRegistry {
  readonly #views = new Map<string, ViewSet>();

  constructor(views: readonly ViewSet[]) {
    for (const view of views) this.register(view);
  }

  /** Adds a view set. Errors: `lakehouse.duplicate-view`. */
  register(view: ViewSet): void {
    if (this.#views.has(view.name)) {
      throw new LakehouseError('lakehouse.duplicate-view', `view "${view.name}" is there already`);
    }
    this.#views.set(view.name, view);
  }

  /** Errors: `lakehouse.unknown-view`, which lists the views there are. */
  get(name: string): ViewSet {
    const view = this.#views.get(name);
    if (view !== undefined) return view;
    const names = [...this.#views.keys()];
    throw new LakehouseError(
      'lakehouse.unknown-view',
      `there is no view "${name}"; views built from blocks are ${names.join(', ')}`,
      { details: { view: name, views: names } },
    );
  }

  list(): ViewSet[] {
    return [...this.#views.values()];
  }

  /**
   * Checks an instance against the rule of its view and returns the id in its one form (hyphenated, lower case).
   * Errors: `lakehouse.bad-instance`, which names the rule; `lakehouse.unknown-view`.
   */
  checkInstance(viewName: string, instance: string): string {
    const { instanceRule } = this.get(viewName);
    const id = parseUuid(instance);
    if (id !== undefined) return id;
    const shown = JSON.stringify(instance.slice(0, 64));
    const why =
      instance === 'global'
        ? `it has no instance "global", each ${instanceRule} has its own`
        : `${shown} is not a UUID`;
    throw new LakehouseError(
      'lakehouse.bad-instance',
      `an instance of view "${viewName}" is the id of a ${instanceRule} (a UUID): ${why}`,
      { details: { view: viewName, instance: instance.slice(0, 64), rule: instanceRule } },
    );
  }
}

/** A registry of all view sets, or of `views` alone. */
export function createViewRegistry(views: readonly ViewSet[] = VIEW_SETS): ViewRegistry {
  return new ViewRegistry(views);
}
