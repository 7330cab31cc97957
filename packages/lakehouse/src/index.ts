export type { PartitionRecord, SourceBlock, SourceStream } from './partition.ts';
export type { Column, ColumnDefinition, ColumnType, RowColumns } from './row-columns.ts';
export type {
  ParseInput,
  ParseLimits,
  RunBuilder,
  RunContext,
  RunNotes,
  RunResult,
  ViewSet,
} from './view.ts';
