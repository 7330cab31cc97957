/** Deletes one process after the other, and says what it did. */
import { formatRfc3339, nanoseconds, type ProcessId } from '@tracelake/domain';
import {
  type Database,
  findProcessHoldings,
  type ObjectStore,
  type ProcessHoldings,
  retireUnowned,
} from '@tracelake/storage';
import type { CommandContext } from '../command.ts';
import { formatBytes, formatDuration } from '../output/quantity.ts';
import { StatusLine } from '../output/status-line.ts';
import { type Removed, removeProcess } from './process-remover.ts';

/** Far longer than a build takes to commit after its process was deleted. */
const unownedAgeMs = 3_600_000;
const unownedBatch = 500;

export interface RetentionOptions {
  readonly db: Database;
  readonly store: ObjectStore;
  readonly concurrency: number;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
  readonly context: CommandContext;
}

export class Retention {
  processes = 0;
  readonly #options: RetentionOptions;
  readonly #status: StatusLine;
  readonly #startMs = performance.now();
  #removed: Removed = { blocks: 0, blockBytes: 0, partitions: 0 };

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#status = new StatusLine({ stream: options.context.stderr });
  }

  async remove(processId: ProcessId, beforeUs: bigint): Promise<void> {
    const { db, context, isDryRun } = this.#options;
    const holdings = await findProcessHoldings(db, processId, context.signal);
    const newestUs = holdings.newestInsertUs;
    if (newestUs === undefined) {
      context.stderr.write(`${processId}: nobody knows it, or it is gone already\n`);
      return;
    }
    if (newestUs >= beforeUs) return this.#noteActive(processId);
    if (isDryRun) return this.#note(processId, holdings, holdings);
    const removed = await this.#removeNow(processId, beforeUs);
    if (removed === 'active') this.#noteActive(processId);
    else this.#note(processId, holdings, removed);
  }

  async removeUnowned(): Promise<void> {
    const { db, context } = this.#options;
    for (;;) {
      const filter = { olderThanMs: unownedAgeMs, limit: unownedBatch };
      const partitions = await retireUnowned(db, filter, context.signal);
      this.#add({ blocks: 0, blockBytes: 0, partitions });
      if (partitions < unownedBatch) return;
    }
  }

  report(): void {
    this.#status.end();
    const { isDryRun, isJson, context } = this.#options;
    const { blocks, blockBytes, partitions } = this.#removed;
    if (isJson) {
      this.#writeJson({
        processes: this.processes,
        ...{ blocks, block_bytes: blockBytes, partitions, is_dry_run: isDryRun },
      });
      return;
    }
    const took = formatDuration(performance.now() - this.#startMs);
    const verb = isDryRun ? 'would go' : 'gone';
    context.stdout.write(`${this.#describe()} ${verb} (${took})\n`);
  }

  async #removeNow(processId: ProcessId, beforeUs: bigint): Promise<Removed | 'active'> {
    const { db, store, concurrency, context } = this.#options;
    return await removeProcess({
      ...{ db, store, processId, beforeUs, concurrency },
      onBatch: (soFar) =>
        this.#status.update(() => `${this.#describe()}; ${processId}: ${soFar.blocks} blocks`),
      signal: context.signal,
    });
  }

  #note(processId: ProcessId, holdings: ProcessHoldings, removed: Removed): void {
    this.processes += 1;
    this.#add(removed);
    const { isJson, context } = this.#options;
    const newest = formatRfc3339(nanoseconds((holdings.newestInsertUs ?? 0n) * 1000n));
    const { blocks, blockBytes, partitions } = removed;
    if (isJson) {
      const exe = holdings.exe ?? null;
      const counts = { blocks, block_bytes: blockBytes, partitions };
      this.#writeJson({ process_id: processId, exe, newest, ...counts });
      return;
    }
    const what = `${blocks} blocks (${formatBytes(blockBytes)}), ${partitions} partitions`;
    context.stdout.write(
      `${processId}  ${newest}  ${what}  ${holdings.exe ?? '(no process row)'}\n`,
    );
  }

  #noteActive(processId: ProcessId): void {
    this.#options.context.stderr.write(`${processId}: stays, something of it came since\n`);
  }

  #add({ blocks, blockBytes, partitions }: Removed): void {
    const sum = this.#removed;
    this.#removed = {
      blocks: sum.blocks + blocks,
      blockBytes: sum.blockBytes + blockBytes,
      partitions: sum.partitions + partitions,
    };
  }

  #describe(): string {
    const { blocks, blockBytes, partitions } = this.#removed;
    return (
      `${this.processes} processes, ${blocks} blocks (${formatBytes(blockBytes)}), ` +
      `${partitions} partitions`
    );
  }

  #writeJson(value: unknown): void {
    this.#options.context.stdout.write(`${JSON.stringify(value)}\n`);
  }
}
