export {
  type BlockInsertOutcome,
  type BlockInsertResult,
  BlockRepository,
  type NewBlock,
  type UnannouncedBlock,
  type WantedFilter,
} from './block-repository.ts';
export type { CommitOutcome, CommitRequest, RejectedBlock } from './catalog-commit.ts';
export { type CatalogLinesRequest, type CatalogTable, readCatalogLines } from './catalog-lines.ts';
export type { ClaimKey } from './claims.ts';
export type { PartitionState } from './covered-partitions.ts';
export type { InstanceRequest, InstanceSnapshot } from './instance-snapshot.ts';
export type { BehindFilter, InstanceBehind } from './instances-behind.ts';
export { type LakeFigures, readLakeFigures } from './lake-figures.ts';
export { ensureLakeSettings, findLakeSettings, type LakeSettings } from './lake-settings.ts';
export type {
  GlobalRequest,
  InstanceState,
  LakeInstance,
  LakeSnapshot,
  LakeSnapshotRequest,
  ProcessSnapshot,
  ProcessSnapshotRequest,
  SnapshotRequest,
  SnapshotView,
} from './lake-snapshot.ts';
export {
  type LaneFence,
  type LaneLease,
  LaneLeaseRepository,
  type LaneLeaseRequest,
  type LaneRenewal,
} from './lane-lease-repository.ts';
export type { LookMoment } from './look-moment.ts';
export { findNamed, listNamedObjects, type NamedObject } from './named-objects.ts';
export { objectKeys, type PartitionKeyParts } from './object-keys.ts';
export type {
  ByteRange,
  ObjectBody,
  ObjectEntry,
  ObjectStore,
  PutOutcome,
} from './object-store/object-store.ts';
export { openObjectStore, type S3Options } from './object-store/open-object-store.ts';
export {
  deleteExpiredLeases,
  listOrphans,
  type OrphanOptions,
  retireSuperseded,
} from './object-sweeping.ts';
export { type ListedRejection, PartitionCatalog } from './partition-catalog.ts';
export type { InstanceKey, NewPartition } from './partition-rows.ts';
export {
  Database,
  type DatabaseOptions,
  openDatabase,
  type Queryable,
  type TransactionOptions,
} from './postgres/database.ts';
export {
  type MigrationReport,
  migrate,
  readSchemaState,
  type SchemaState,
} from './postgres/migrate.ts';
export { type SqlStatement, sql } from './postgres/sql.ts';
export {
  findMomentBack,
  findProcessHoldings,
  forgetBlocks,
  hideProcess,
  listNewestBlockKeys,
  listQuietProcesses,
  listRemovableBlocks,
  type ProcessHoldings,
  retirePartitionsOf,
  retireUnowned,
} from './process-removal.ts';
export {
  type ProcessListFilter,
  ProcessRepository,
  type ProcessSummary,
  type UnannouncedProcess,
} from './process-repository.ts';
export { ReadLease, type ReadLeaseOptions } from './read-lease.ts';
export type { ProcessFacts, StreamFacts } from './snapshot-context.ts';
export { StorageError, type StorageErrorCode } from './storage-error.ts';
export { REJECTED_IDS_MAX, type StreamBlocks } from './stream-blocks.ts';
export { type StreamOwner, StreamRepository, type UnannouncedStream } from './stream-repository.ts';
export { requeueRecent, type UnannouncedFilter } from './unannounced.ts';
export { makeWorkDirectory, type WorkDirectory } from './work-directory.ts';
