import type { TokenPool } from '@tracelake/channels';
import type { ViewRegistry } from '@tracelake/lakehouse';
import type { ParquetWriter } from '@tracelake/parquet';
import type { Logger } from '@tracelake/service-kit';
import type { ObjectStore, PartitionCatalog } from '@tracelake/storage';
import type { DecodeWorkerPool } from '../decode/decode-worker-pool.ts';
import type { MaterializerMetrics } from '../telemetry-metrics.ts';
import type { PayloadBudget } from './payload-budget.ts';

/** What every build of this service shares. */
export interface BuildDependencies {
  readonly registry: ViewRegistry;
  readonly catalog: PartitionCatalog;
  readonly objectStore: ObjectStore;
  readonly decoders: DecodeWorkerPool;
  readonly payloadBudget: PayloadBudget;
  /** The only thing that pipelines share besides memory: one token is one core's worth of decoding. */
  readonly cpuTokens: TokenPool;
  readonly parquet: ParquetWriter;
  /** Where Parquet files are written before they are published. */
  readonly tempDir: string;
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
  readonly rowGroupRows: number;
  readonly claimMs: number;
  readonly buildTimeoutMs: number;
}
