import type { ColumnDefinition, ColumnType, ViewRegistry } from '@tracelake/lakehouse';
import {
  CATALOG_TABLES,
  type CatalogTable,
  LIST_PARTITIONS_COLUMNS,
  PARSE_BLOCK_COLUMNS,
} from './catalog-tables.ts';
import { DERIVED_VIEWS, type DerivedView } from './derived-views.ts';
import { listViewSetsView } from './list-view-sets.ts';
import type { SqlColumn } from './sql-column.ts';
import { sqlTypeOf } from './sql-column.ts';

/** Everything a statement may read, by name (lower case). */
export interface LakeCatalog {
  readonly views: ViewRegistry;
  readonly catalogTables: ReadonlyMap<string, CatalogTable>;
  /** Views that are plain tables too: the union over all instances in the range. */
  readonly globalViews: ReadonlySet<string>;
  /** Views defined by SQL over others, called as table functions or named as tables. */
  readonly derivedViews: ReadonlyMap<string, DerivedView>;
  /** Columns of what the planner makes itself. */
  readonly functionColumns: Readonly<
    Record<'list_partitions' | 'parse_block' | 'spans', readonly SqlColumn[]>
  >;
}

/** The lake's catalog: the views of `views`, the catalog tables and the views defined by SQL over both. */
export function createLakeCatalog(views: ViewRegistry): LakeCatalog {
  const globalViews = new Set(
    views
      .list()
      .filter(({ eager, instanceRule }) => eager && instanceRule === 'process')
      .map(({ name }) => name),
  );
  const derived = [...DERIVED_VIEWS, listViewSetsView(views, globalViews)];
  return {
    views,
    globalViews,
    catalogTables: new Map(CATALOG_TABLES.map((table) => [table.name, table])),
    derivedViews: new Map(derived.map((view) => [view.name, view])),
    functionColumns: {
      list_partitions: LIST_PARTITIONS_COLUMNS,
      parse_block: PARSE_BLOCK_COLUMNS,
      spans: [
        { name: 'stream_id', type: 'VARCHAR' },
        { name: 'thread_name', type: 'VARCHAR' },
        ...sqlColumnsOf(views.get('thread_spans').columns),
      ],
    },
  };
}

/** Columns as the engine has them: times are TIMESTAMP_NS, strings VARCHAR. */
export function sqlColumnsOf(columns: readonly ColumnDefinition[]): SqlColumn[] {
  return columns.map(({ name, type }) => ({ name, type: sqlTypeOf(type satisfies ColumnType) }));
}
