/** What each lane of the materializer has to itself: a reader and a writer, and what builds and merges with them. */

import type { LaneSet, ReaderFactory, TokenPool, WriterFactory } from '@tracelake/channels';
import type { Logger } from '@tracelake/service-kit';
import type { ObjectStore } from '@tracelake/storage';
import { BlockReader } from '../build/block-reader.ts';
import type { BuildDependencies } from '../build/build-dependencies.ts';
import type { BuildReport } from '../build/build-report.ts';
import { InstanceBuilder } from '../build/instance-builder.ts';
import type { BuildRequest, InstanceBuilds } from '../build/instance-builds.ts';
import { PartitionWriter } from '../build/partition-writer.ts';
import type { BuildActivity } from '../compaction/build-activity.ts';
import type { CompactionMetrics } from '../compaction/compaction-metrics.ts';
import { InstanceCompactor } from '../compaction/instance-compactor.ts';
import type { LanePipeline } from './lane-pipeline.ts';

export type MaterializerLanes = LaneSet<BlockReader, PartitionWriter, LanePipeline>;

export type LaneFactories = ReaderFactory<BlockReader> & WriterFactory<PartitionWriter>;

export interface LaneFactoryOptions {
  readonly objectStore: ObjectStore;
  readonly tempDir: string;
  readonly settings: {
    /** How many lanes there are, whether or not this replica has them. */
    readonly lanes: number;
    readonly payloadBytesMax: number;
    readonly rowGroupRows: number;
  };
  readonly logger: Logger;
}

/** Each lane has an equal part of the room for payloads: one with large blocks in work leaves the others theirs. */
export function createLaneFactories(options: LaneFactoryOptions): LaneFactories {
  const { objectStore, tempDir, settings, logger } = options;
  const { lanes, rowGroupRows } = settings;
  const payloadBytesMax = Math.ceil(settings.payloadBytesMax / lanes);
  return {
    createReader: () => new BlockReader({ objectStore, payloadBytesMax }),
    createWriter: () => new PartitionWriter({ objectStore, tempDir, rowGroupRows, logger }),
  };
}

/** What builds have to themselves; without a fence they are work of no lane. */
export type OwnParts = Pick<BuildDependencies, 'reader' | 'writer' | 'fence'>;

export interface SharedParts {
  readonly deps: Omit<BuildDependencies, keyof OwnParts>;
  readonly activity: BuildActivity;
  /** Undefined: small runs are left as they are. */
  readonly compaction:
    | { readonly metrics: CompactionMetrics; readonly turn: TokenPool }
    | undefined;
  /** Fires when builds under way have to be handed back. */
  readonly hardStop: AbortSignal;
  readonly onBuilt: (request: BuildRequest, report: BuildReport) => void;
}

export interface LaneWork {
  readonly builds: InstanceBuilds;
  readonly compactor: InstanceCompactor | undefined;
}

export function createLaneWork(own: OwnParts, shared: SharedParts): LaneWork {
  const { activity, compaction, hardStop, onBuilt } = shared;
  const deps = { ...shared.deps, ...own };
  const builder = new InstanceBuilder(deps);
  return {
    builds: {
      async build(request, signal) {
        using _build = activity.enter();
        const report = await builder.build(request, AbortSignal.any([signal, hardStop]));
        onBuilt(request, report);
        return report;
      },
    },
    compactor:
      compaction === undefined
        ? undefined
        : new InstanceCompactor({ ...compaction, deps, activity }),
  };
}
