import type { BlockId } from '@tracelake/domain';
import type { PartitionCatalog, RejectedBlock } from '@tracelake/storage';
import type { BuildReport } from './build-report.ts';
import type { PlanExecutionOutcome } from './plan-execution.ts';

/** What one call has built, over all its attempts. */
export class BuildTally {
  #built = 0;
  #blocksDecoded = 0;
  #rows = 0;
  readonly #covered = new Set<BlockId>();
  readonly #rejected = new Map<BlockId, string>();

  get isEmpty(): boolean {
    return this.#built === 0;
  }

  add(outcome: PlanExecutionOutcome): void {
    this.#built += outcome.built;
    this.#blocksDecoded += outcome.blocksDecoded;
    this.#rows += outcome.rows;
    for (const blockId of outcome.coveredBlockIds) this.#covered.add(blockId);
    for (const { blockId, reason } of outcome.rejected) this.#rejected.set(blockId, reason);
  }

  counts(): Pick<BuildReport, 'built' | 'blocksDecoded' | 'rows'> {
    return { built: this.#built, blocksDecoded: this.#blocksDecoded, rows: this.#rows };
  }

  /** Blocks of the instance without rows: those met now, and those of partitions that were kept. */
  async listRejected(
    viewSet: string,
    rejectedBefore: ReadonlySet<BlockId>,
    catalog: PartitionCatalog,
    signal: AbortSignal,
  ): Promise<RejectedBlock[]> {
    const met = [...this.#rejected].map(([blockId, reason]) => ({ blockId, reason }));
    const kept = [...rejectedBefore].filter((blockId) => !this.#covered.has(blockId));
    if (kept.length === 0) return met;
    const listed = await catalog.listRejected({ viewSet, limit: LISTED_MAX }, signal);
    const reasons = new Map(listed.map(({ blockId, reason }) => [blockId, reason]));
    const before = kept.map((blockId) => {
      return { blockId, reason: reasons.get(blockId) ?? 'rejected before' };
    });
    return [...before, ...met];
  }
}

/** Reasons are for people; past this many rejected blocks of a view the older ones go without. */
const LISTED_MAX = 10_000;
