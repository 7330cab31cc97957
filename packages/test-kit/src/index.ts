export { type BenchFigure, measureReference, reportBench } from './bench-report.ts';
export type { BlockRecorder, FlushOptions } from './block-recorder.ts';
export { parseCsv } from './csv.ts';
export {
  type CsvTable,
  fixtureCases,
  fixtureDirectory,
  type IngestRequest,
  loadFixture,
  type NativeFixture,
} from './fixtures.ts';
export {
  GENERATED_BLOCK_EVENT_BYTES,
  type GeneratedProcess,
  type GeneratedProcessOptions,
  generateProcess,
} from './generated-process.ts';
export type { LogSpec } from './log-recorder.ts';
export { encodeLz4Frame, type Lz4FrameOptions } from './lz4-frame-encoder.ts';
export { longestMapKey } from './map-keys.ts';
export { MemoryLake, type MemoryLakeOptions } from './memory-lake.ts';
export type { MetricSpec } from './metric-recorder.ts';
export { startTestNats, type TestNats, type TestNatsOptions } from './nats-fixture.ts';
export { type NestedSpansOptions, recordNestedSpans } from './nested-spans.ts';
export { startTestPostgres, type TestPostgres } from './postgres-fixture.ts';
export {
  blocksOf,
  decodeLimits,
  loadRecordedProcess,
  type RecordedProcess,
  recordedProcessOf,
} from './recorded-process.ts';
export {
  RecordingBuilder,
  type RecordingOptions,
  type ThreadOptions,
} from './recording-builder.ts';
export { canonicalLines, type RowObject, rowObjects } from './row-objects.ts';
export { ensureMoto, startTestS3, type TestS3, type UnavailableS3 } from './s3-fixture.ts';
export { type SeededRandom, seededRandom } from './seeded-random.ts';
export { type ServiceProcess, startServiceProcess } from './service-process.ts';
export { forEachSeed, type SeedRange } from './test-seeds.ts';
export type { AsyncEventSpec, ScopeSpec, ThreadRecorder } from './thread-recorder.ts';
export {
  type DecodedSlice,
  type DecodedTrace,
  type DecodedTrack,
  decodeTrace,
  inflateTrace,
  TraceDecoder,
} from './trace-decoder.ts';
