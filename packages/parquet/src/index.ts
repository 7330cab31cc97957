export { PairedAsyncSpans, type PairingRequest } from './async-span-pairing.ts';
export type { EventFile } from './pairing/event-merge.ts';
export { ParquetError, type ParquetErrorCode } from './parquet-error.ts';
export {
  ColumnChunk,
  ParquetReader,
  type ParquetReaderOptions,
  type QueryOptions,
} from './parquet-reading.ts';
export {
  type ParquetFileRequest,
  ROW_GROUP_ROWS,
  writeParquet,
} from './parquet-writing.ts';
export type { ScopeText } from './scope-dictionary.ts';
export type { SpanBatch } from './span-batch.ts';
export {
  type LocalFile,
  mergeSpanFiles,
  type NsRange,
  readSpanFile,
  type SpanFile,
  type SpanReadRequest,
  type SpanSlice,
} from './thread-span-reading.ts';
