/** Turns what a statement names into the tables it will read, each source once. */

import { ensureExists, errorMessage, parseUuid } from '@tracelake/domain';
import type { DerivedParameter, DerivedRequest, DerivedView } from './derived-views.ts';
import type { LakeCatalog } from './lake-catalog.ts';
import type { SourceRef, SourceRequest } from './source-ref.ts';
import { SqlError } from './sql-error.ts';

/** A table that is SQL over other tables of the same statement. */
export interface DerivedTable {
  /** In the schema `LAKE_SCHEMA`. */
  readonly table: string;
  /** The view it is an instance of. */
  readonly name: string;
  /** A SELECT over sources, and derived tables that stand before this one: `tableOf` says what to read for each. */
  sqlOver(tableOf: (table: string) => string): string;
}

const SPAN_TYPES = ['thread', 'async', 'both'];

/** The tables of one statement. */
export class SourceTables {
  readonly sources: SourceRef[] = [];
  readonly derived: DerivedTable[] = [];
  readonly #catalog: LakeCatalog;
  readonly #byKey = new Map<string, string>();

  constructor(catalog: LakeCatalog) {
    this.#catalog = catalog;
  }

  /** The table behind a bare name (lower case), or nothing. */
  named(name: string): string | undefined {
    const catalogTable = this.#catalog.catalogTables.get(name);
    if (catalogTable !== undefined)
      return this.#tableOf({ kind: 'catalog', name: catalogTable.name });
    if (this.#catalog.globalViews.has(name))
      return this.#tableOf({ kind: 'view', viewSet: name, instance: 'global' });
    const derived = this.#catalog.derivedViews.get(name);
    return derived?.asTable ? this.#derivedTable(derived, []) : undefined;
  }

  /** Whether a function of the lake has this name (lower case). */
  isFunction(name: string): boolean {
    return (
      ['view_instance', 'list_partitions', 'parse_block'].includes(name) ||
      this.#isDerivedFunction(name)
    );
  }

  #isDerivedFunction(name: string): boolean {
    const view = this.#catalog.derivedViews.get(name);
    return view !== undefined && !view.internal;
  }

  /** The table that a call of a lake function stands for. */
  called(name: string, args: readonly string[]): string {
    if (name === 'view_instance') return this.#viewInstance(args);
    if (name === 'list_partitions' || name === 'parse_block') {
      const checked = checkedArguments(name, name === 'list_partitions' ? [] : [BLOCK_ID], args);
      return this.#tableOf({ kind: 'function', name, args: checked });
    }
    const view = this.#catalog.derivedViews.get(name);
    if (view === undefined) throw new SqlError('sql.unknown-table', `there is no function ${name}`);
    return this.#derivedTable(view, checkedArguments(name, view.parameters, args));
  }

  #viewInstance(args: readonly string[]): string {
    const [viewSet, instance] = args;
    if (viewSet === undefined || instance === undefined || args.length !== 2)
      throw new SqlError(
        'sql.bad-arguments',
        "view_instance takes a view set and an instance: view_instance('log_entries', '<process id>')",
      );
    if (instance === 'global' && this.#catalog.globalViews.has(viewSet))
      return this.#tableOf({ kind: 'view', viewSet, instance });
    try {
      const id = this.#catalog.views.checkInstance(viewSet, instance);
      return this.#tableOf({ kind: 'view', viewSet, instance: id });
    } catch (cause) {
      throw new SqlError('sql.bad-arguments', errorMessage(cause), { cause });
    }
  }

  #derivedTable(view: DerivedView, args: readonly string[]): string {
    return this.#once(`derived ${view.name} ${JSON.stringify(args)}`, (table) => {
      const tables = new Map(
        Object.entries(view.sources(args)).map(([name, source]) => [name, this.#sourceOf(source)]),
      );
      const sqlOver = (tableOf: (table: string) => string) =>
        view.sql(args, (source) =>
          tableOf(ensureExists(tables.get(source), `source ${source} of view ${view.name}`)),
        );
      this.derived.push({ table, name: view.name, sqlOver });
    });
  }

  #sourceOf(source: SourceRequest | DerivedRequest): string {
    if (source.kind !== 'derived') return this.#tableOf(source);
    const view = this.#catalog.derivedViews.get(source.name);
    return this.#derivedTable(ensureExists(view, `view ${source.name}`), source.args);
  }

  #tableOf(source: SourceRequest): string {
    return this.#once(JSON.stringify(source), (table) => {
      this.sources.push({ ...source, table });
    });
  }

  #once(key: string, create: (table: string) => void): string {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const table = `s${this.#byKey.size + 1}`;
    this.#byKey.set(key, table);
    create(table);
    return table;
  }
}

const BLOCK_ID: DerivedParameter = { name: 'block_id', rule: 'block' };

function checkedArguments(
  name: string,
  parameters: readonly DerivedParameter[],
  args: readonly string[],
): string[] {
  const required = parameters.filter(({ optional }) => !optional).length;
  if (args.length < required || args.length > parameters.length) {
    const shape = parameters.map((parameter) => parameter.name).join(', ');
    throw new SqlError(
      'sql.bad-arguments',
      `${name}(${shape}) is called with ${args.length} arguments`,
    );
  }
  return args.map((value, index) => checkedArgument(name, parameters[index], value));
}

function checkedArgument(
  name: string,
  parameter: DerivedParameter | undefined,
  value: string,
): string {
  if (parameter?.rule === 'span-types') {
    if (SPAN_TYPES.includes(value)) return value;
    throw new SqlError(
      'sql.bad-arguments',
      `the ${parameter.name} of ${name} are 'thread', 'async' or 'both'`,
    );
  }
  const id = parseUuid(value);
  if (id !== undefined) return id;
  const what = parameter?.rule.replaceAll('-', ' ') ?? 'thing';
  throw new SqlError(
    'sql.bad-arguments',
    `${name} takes the id of a ${what} (a UUID), not ${JSON.stringify(value.slice(0, 64))}`,
  );
}
