export { ParquetError, type ParquetErrorCode } from './parquet-error.ts';
export {
  type ParquetFileRequest,
  ParquetWriter,
  type ParquetWriterOptions,
  ROW_GROUP_ROWS,
  writeParquet,
} from './parquet-writing.ts';
