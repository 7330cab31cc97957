/**
 * What a statement reads. The analysis names tables it made up (`s1`, `s2`, ...), and whoever runs the
 * statement creates each of them in the schema `LAKE_SCHEMA` before that.
 */

/** The schema that holds every table a rewritten statement reads. */
export const LAKE_SCHEMA = 'lake';

/** The partitions of one view instance, or of all its instances in the range (`global`). */
export interface ViewSourceRef {
  readonly kind: 'view';
  readonly table: string;
  readonly viewSet: string;
  /** A UUID in its one form, or `global`. */
  readonly instance: string;
}

export type CatalogTableName = 'processes' | 'streams' | 'blocks' | 'rejected_blocks';

/** A table read from the catalog database, in full. */
export interface CatalogSourceRef {
  readonly kind: 'catalog';
  readonly table: string;
  readonly name: CatalogTableName;
}

/**
 * Rows that the planner makes itself:
 * - `list_partitions()`: the catalog of partitions;
 * - `parse_block(block_id)`: the raw objects of one block;
 * - `spans(id)`: the thread spans of the stream `id`, or of all `cpu` streams of the process `id`; columns
 *   are `stream_id`, `thread_name` (both VARCHAR), then those of `thread_spans`.
 *
 * Arguments are checked: an id is a UUID in its one form.
 */
export interface FunctionSourceRef {
  readonly kind: 'function';
  readonly table: string;
  readonly name: PlannerFunctionName;
  readonly args: readonly string[];
}

export type PlannerFunctionName = 'list_partitions' | 'parse_block' | 'spans';

export type SourceRef = ViewSourceRef | CatalogSourceRef | FunctionSourceRef;

/** A source before it has a table. */
export type SourceRequest =
  | Omit<ViewSourceRef, 'table'>
  | Omit<CatalogSourceRef, 'table'>
  | Omit<FunctionSourceRef, 'table'>;
