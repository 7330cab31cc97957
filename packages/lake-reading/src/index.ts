export { type BlockCounts, countBlocks } from './block-counts.ts';
export {
  type CatalogFreshnessOptions,
  catalogFreshness,
} from './catalog-freshness.ts';
export {
  type BuildRequest,
  ensureFreshPartitions,
  type FreshnessOptions,
  type FreshnessPorts,
  type FreshnessTimes,
  type FreshPartitions,
  type InstancesSnapshot,
  type PartitionOutcome,
  type PartitionWatch,
  type ViewInstance,
} from './ensure-fresh-partitions.ts';
export { isInstanceComplete } from './instance-completeness.ts';
export { LakeReadingError, type LakeReadingErrorCode } from './lake-reading-error.ts';
export {
  type CachedObject,
  ObjectCache,
  type ObjectCacheOptions,
  type ObjectCacheStats,
} from './object-cache.ts';
export { type LocalObject, ObjectFiles, type ReadableObjects } from './object-files.ts';
