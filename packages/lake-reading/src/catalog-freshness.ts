/** The ports of `ensureFreshPartitions` over the real catalog and the real bus. */

import { createHash } from 'node:crypto';
import type { Bus } from '@tracelake/bus';
import { schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import type { InstanceState, LookMoment } from '@tracelake/storage';
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
  /** One moment of the catalog, each time anew; `since` is the moment of the first. */
  loadSnapshot(signal: AbortSignal, since: LookMoment | undefined): Promise<Snapshot>;
}

const PUBLISH_TIMEOUT_MS = 5000;

export function catalogFreshness<Snapshot extends InstancesSnapshot>(
  options: CatalogFreshnessOptions<Snapshot>,
): FreshnessPorts<Snapshot> {
  const { bus, registry } = options;
  return {
    loadSnapshot: (signal, since) => options.loadSnapshot(signal, since),
    isComplete: (instance) => isInstanceComplete(registry.get(instance.viewSet), instance),
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
        schemaHash: schemaHashOf(registry.get(viewSet)),
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

/** Changes with the set of blocks that is wanted. */
function hashOf({ blocksOf }: Pick<InstanceState, 'blocksOf'>): string {
  const hash = createHash('sha256');
  const lines = [...blocksOf].map(([streamId, { known, fingerprint }]) => {
    return `${streamId} ${known} ${fingerprint}`;
  });
  return hash.update(lines.sort().join('\n')).digest('hex');
}
