export { BlockSetDigest } from './block-set-digest.ts';
export { type CalibrationEvidence, calibrate, chooseCalibrationEvidence } from './calibration.ts';
export { canonicalJson } from './canonical-json.ts';
export { Chunk, ChunkSender, chunkSchema } from './chunk-sender.ts';
export { columnMemory } from './column-memory.ts';
export { COMPACTION_WIDTH, type CompactionGroup, planCompaction } from './compaction.ts';
export {
  type CoveredContent,
  type CoveredPartition,
  isContentCurrent,
  isCoverageConsistent,
} from './coverage.ts';
export {
  decideFreshness,
  type FreshnessDecision,
  type InsertRange,
  overlapsInclusive,
  type PartitionSource,
} from './freshness.ts';
export { LakehouseError, type LakehouseErrorCode } from './lakehouse-error.ts';
export type {
  PartitionRecord,
  PartitionSummary,
  SourceBlock,
  SourceStream,
} from './partition.ts';
export {
  type BuildPlan,
  type BuildSegment,
  type InstancePlan,
  insertRangeOf,
  isConsistent,
  type JudgedRun,
  type KeepSegment,
  type LayoutRequest,
  layoutOf,
  mustRebuild,
  type PlanRequest,
  planInstance,
  planLayout,
  RUN_EVENTS_MAX,
  rebuildOf,
  runEventsMaxOf,
  runWeightMinOf,
  type Segment,
  staleReasonOf,
  type UnplacedBlock,
} from './planning.ts';
export {
  type Column,
  type ColumnDefinition,
  type ColumnType,
  type RowColumns,
  textOfCode,
} from './row-columns.ts';
export {
  carryHashOf,
  type PartitionIdentity,
  type PartitionSources,
  partitionIdOf,
  type SourceContext,
  schemaHashOf,
  sourceHashOf,
  sourceHashOfContent,
} from './source-hash.ts';
export { compareSpanScopes } from './span-scope-order.ts';
export {
  type ArrivalPlace,
  compareInsertOrder,
  compareStreamOrder,
  groupChains,
  type StreamPosition,
} from './stream-order.ts';
export { threadDisplayName } from './thread-name.ts';
export { Utf8Texts } from './utf8-texts.ts';
export type {
  ParseInput,
  ParseLimits,
  RunBuilder,
  RunContext,
  RunNotes,
  RunResult,
  ViewSet,
} from './view.ts';
export { createViewRegistry, type ViewRegistry } from './view-registry.ts';
