import { parseUuid } from '@tracelake/domain';
import { LakehouseError } from './lakehouse-error.ts';
import { schemaHashOf } from './source-hash.ts';
import type { ViewSet } from './view.ts';
import { view as asyncEvents } from './views/async-events.ts';
import { view as logEntries } from './views/log-entries.ts';
import { view as measures } from './views/measures.ts';
import { view as threadSpans } from './views/thread-spans.ts';

/** Every view set that is built from blocks. Adding one is adding its file and its line here. */
const VIEW_SETS: readonly ViewSet[] = [logEntries, measures, threadSpans, asyncEvents];

/**
 * Views as the release before had them, where this one has changed their schema: its services go on reading them
 * while they are replaced, and after a rollback. One release later they go.
 */
const EARLIER_VIEWS: readonly ViewSet[] = [];

/** The view sets a service knows, by name. */
export class ViewRegistry {
  readonly #views = new Map<string, ViewSet>();
  readonly #earlier: readonly ViewSet[];

  constructor(views: readonly ViewSet[], earlier: readonly ViewSet[] = []) {
    this.#earlier = earlier;
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

  /**
   * The version of a view that has the schema. Errors: `lakehouse.unknown-view`; `lakehouse.unknown-schema`, as when
   * readers were replaced before the materializers were.
   */
  getVersion(name: string, schemaHash: string): ViewSet {
    const newest = this.get(name);
    const versions = [newest, ...this.#earlier.filter((view) => view.name === name)];
    const version = versions.find((view) => schemaHashOf(view) === schemaHash);
    if (version !== undefined) return version;
    throw new LakehouseError(
      'lakehouse.unknown-schema',
      `this release builds view "${name}" with schema versions ` +
        `${versions.map((view) => view.schemaVersion).join(', ')} and was asked for another: ` +
        'replace the materializers before the services that read',
      { retryable: true, details: { view: name, schemaHash } },
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

/** A registry of all view sets, or of `views` alone; `earlier` are older versions that are still built. */
export function createViewRegistry(
  views: readonly ViewSet[] = VIEW_SETS,
  earlier: readonly ViewSet[] = EARLIER_VIEWS,
): ViewRegistry {
  return new ViewRegistry(views, earlier);
}
