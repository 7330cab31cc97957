/** The ports of `ensureFreshPartitions` over the real catalog and the real bus. */

import { createHash } from 'node:crypto';
import type { Bus } from '@tracelake/bus';
import type { BlockId, ProcessId } from '@tracelake/domain';
import { schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import type { PartitionCatalog } from '@tracelake/storage';
import type { FreshnessPorts, PartitionWatch, ViewInstance } from './ensure-fresh-partitions.ts';
import type { SpanChoice } from './export-request.ts';
import { isInstanceComplete } from './instance-completeness.ts';
import { viewsFor } from './trace-plan.ts';

export interface CatalogFreshnessOptions {
  readonly catalog: PartitionCatalog;
  readonly bus: Bus;
  readonly registry: ViewRegistry;
  readonly processId: ProcessId;
  readonly spans: SpanChoice;
}

const PUBLISH_TIMEOUT_MS = 5000;

export function catalogFreshness(options: CatalogFreshnessOptions): FreshnessPorts {
  const { catalog, bus, registry, processId, spans } = options;
  const views = viewsFor(spans).map((name) => {
    const view = registry.get(name);
    return { view, schemaHash: schemaHashOf(view) };
  });
  return {
    loadSnapshot: (signal) => catalog.loadProcessSnapshot({ processId, views }, signal),
    isComplete: (snapshot, instance, wanted) =>
      isInstanceComplete(registry.get(instance.viewSet), snapshot, instance, wanted),
    watch: (instances, signal) => watchPartitions(bus, instances, signal),
    async requestBuild({ viewSet, instance, wanted, attempt }, signal) {
      const request = {
        processId,
        viewSet,
        instance,
        // A span's end may lie beyond any range, so the whole instance is asked for.
        beginNs: undefined,
        endNs: undefined,
        wantedHash: hashOf(wanted),
        attempt,
      };
      await bus.requestMaterialization(request, { signal, timeoutMs: PUBLISH_TIMEOUT_MS });
    },
  };
}

async function watchPartitions(
  bus: Bus,
  instances: readonly ViewInstance[],
  signal: AbortSignal,
): Promise<PartitionWatch> {
  const waiter = await bus.waitForPartitionEvents(instances, { signal });
  return {
    async next(waitMs, nextSignal) {
      const event = await waiter.next({ timeoutMs: waitMs, signal: nextSignal });
      nextSignal.throwIfAborted();
      return event;
    },
    [Symbol.asyncDispose]: () => waiter[Symbol.asyncDispose](),
  };
}

function hashOf(wanted: readonly BlockId[]): string {
  const hash = createHash('sha256');
  for (const blockId of [...wanted].sort()) hash.update(blockId);
  return hash.digest('hex');
}
