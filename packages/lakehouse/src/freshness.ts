/**
 * Whether a partition is what is wanted. Overlap in insert time finds the candidates; the schema hash and the
 * hash of the source decide.
 */

/** Inclusive at both ends: a range of zero length holds its one instant. */
export interface InsertRange {
  /** Microseconds since the Unix epoch. */
  readonly beginInsertUs: bigint;
  readonly endInsertUs: bigint;
}

/** What a partition was made of, or must be made of. */
export interface PartitionSource extends InsertRange {
  readonly schemaHash: string;
  readonly sourceHash: string;
}

export type FreshnessDecision =
  | { readonly kind: 'current' }
  | { readonly kind: 'missing' }
  | { readonly kind: 'stale'; readonly reason: 'schema-changed' | 'source-changed' };

/** Whether two insert-time ranges share an instant. */
export function overlapsInclusive(a: InsertRange, b: InsertRange): boolean {
  return a.beginInsertUs <= b.endInsertUs && a.endInsertUs >= b.beginInsertUs;
}

/** Decides on one partition; one that lies elsewhere is as good as none. */
export function decideFreshness(
  partition: PartitionSource | undefined,
  wanted: PartitionSource,
): FreshnessDecision {
  if (partition === undefined || !overlapsInclusive(partition, wanted)) return { kind: 'missing' };
  if (partition.schemaHash !== wanted.schemaHash)
    return { kind: 'stale', reason: 'schema-changed' };
  if (partition.sourceHash !== wanted.sourceHash)
    return { kind: 'stale', reason: 'source-changed' };
  return { kind: 'current' };
}
