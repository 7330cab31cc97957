import type { TokenPool } from '@tracelake/channels';
import type { ViewRegistry } from '@tracelake/lakehouse';
import type { Logger } from '@tracelake/service-kit';
import type { LaneFence, PartitionCatalog } from '@tracelake/storage';
import type { DecodeWorkerPool } from '../decode/decode-worker-pool.ts';
import type { MaterializerMetrics } from '../telemetry-metrics.ts';
import type { BlockReader } from './block-reader.ts';
import type { PartitionWriter } from './partition-writer.ts';
import type { RunWorkerPool } from './run-worker-pool.ts';

/** What the builds of one lane work with: a reader and a writer of its own, the rest is the service's. */
export interface BuildDependencies {
  readonly registry: ViewRegistry;
  readonly catalog: PartitionCatalog;
  readonly reader: BlockReader;
  readonly writer: PartitionWriter;
  /** The threads of the CPU tokens: whoever holds a token finds one of them idle. */
  readonly decoders: DecodeWorkerPool;
  /** The threads that fold and write, under the same tokens. */
  readonly runWorkers: RunWorkerPool;
  /** The only thing that lanes share: one token is one core's worth of decoding. */
  readonly cpuTokens: TokenPool;
  /** Of the lane that the builds are work of: once it has changed hands, they can commit nothing. */
  readonly fence?: LaneFence;
  readonly metrics: MaterializerMetrics;
  readonly logger: Logger;
  readonly settings: BuildSettings;
  /** Awaited before each payload is fetched: work of no hurry lets the rest go first. */
  readonly giveWay?: (signal: AbortSignal) => Promise<void>;
}

export interface BuildSettings {
  readonly workers: number;
  readonly channelDepth: number;
  readonly decompressedBytesMax: number;
  readonly claimMs: number;
  readonly buildTimeoutMs: number;
}
