export type { CatalogTable } from './catalog-tables.ts';
export type { DerivedView } from './derived-views.ts';
export {
  createLakeCatalog,
  type LakeCatalog,
  sqlColumnsOf,
} from './lake-catalog.ts';
export { lakeMacros } from './lake-macros.ts';
export { formatSerialised, parseSerialised, SERIALISE_SQL } from './serialised-statement.ts';
export {
  type CatalogSourceRef,
  type CatalogTableName,
  type FunctionSourceRef,
  LAKE_SCHEMA,
  type PlannerFunctionName,
  type SourceRef,
  type ViewSourceRef,
} from './source-ref.ts';
export { analyseSql, type SqlAnalysis } from './sql-analysis.ts';
export type { SqlColumn } from './sql-column.ts';
export { SqlError, type SqlErrorCode } from './sql-error.ts';
export { quoteName, quoteText } from './sql-text.ts';
export { type Analysis, analyseStatement, type DerivedTable } from './statement-analysis.ts';
