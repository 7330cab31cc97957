/** The ports of `ensureFreshPartitions` over the real catalog and the real bus. */

import { createHash } from 'node:crypto';
import type { Bus } from '@tracelake/bus';
import type { BlockId } from '@tracelake/domain';
import type { ViewRegistry } from '@tracelake/lakehouse';
import type { ProcessContext } from '@tracelake/storage';
import type {
  FreshnessPorts,
  InstancesSnapshot,
  PartitionWatch,
  ViewInstance,
} from './ensure-fresh-partitions.ts';
import { isInstanceComplete } from './instance-completeness.ts';

export interface CatalogFreshnessOptions<Snapshot extends InstancesSnapshot> {
  readonly bus: Bus;
  readonly registry: ViewRegistry;
  /** One moment of the catalog, each time anew. */
  loadSnapshot(signal: AbortSignal): Promise<Snapshot>;
  /** The process that an instance belongs to, as of the same moment. */
  contextOf(snapshot: Snapshot, instance: Snapshot['instances'][number]): ProcessContext;
}

const PUBLISH_TIMEOUT_MS = 5000;

export function catalogFreshness<Snapshot extends InstancesSnapshot>(
  options: CatalogFreshnessOptions<Snapshot>,
): FreshnessPorts<Snapshot> {
  const { bus, registry } = options;
  return {
    loadSnapshot: (signal) => options.loadSnapshot(signal),
    isComplete(snapshot, instance, wanted) {
      const view = registry.get(instance.viewSet);
      return isInstanceComplete(view, options.contextOf(snapshot, instance), instance, wanted);
    },
    watch: (instances, signal) => watchPartitions(bus, instances, signal),
    async requestBuild({ processId, viewSet, instance, wanted, attempt }, signal) {
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
