import { availableParallelism, tmpdir } from 'node:os';
import { type CommonConfig, type EnvReader, readCommonConfig } from '@tracelake/service-kit';

export interface MaterializerConfig extends CommonConfig {
  readonly port: number;
  /** Cores that all pipelines of this service use together for decoding. */
  readonly cpuTokens: number;
  /** Reads and writes of the object store that all pipelines of this service have under way together. */
  readonly ioTokens: number;
  /** Blocks of one build that may be in decoding at once. */
  readonly workers: number;
  /** Capacity of each channel of a pipeline, in blocks. */
  readonly channelDepth: number;
  /** Builds of one lane at a time, asked for and eager each: any may hold a run of 2^20 events. */
  readonly buildsPerLane: number;
  /** Stored payloads held by all pipelines together, from fetch to decode. */
  readonly payloadBytesMax: number;
  /** What one block may decompress to. */
  readonly decompressedBytesMax: number;
  readonly decodeTimeoutMs: number;
  readonly workerHeapMb: number;
  /** Quiet time after a block of an eager view before its process is built. */
  readonly debounceMs: number;
  /** Between looks into Postgres for eager partitions that no event led to. */
  readonly catchUpIntervalMs: number;
  /** How long a build of one instance may take, waiting for another's claim included. */
  readonly buildTimeoutMs: number;
  /** Whether small runs are merged into larger ones when nothing else is to be done. */
  readonly compaction: boolean;
  /** Deliveries of one request before it is put aside as poisoned. */
  readonly maxDeliver: number;
  readonly laneLeaseMs: number;
  readonly claimMs: number;
  readonly sweepIntervalMs: number;
  /** Between looks at what the lake and the bus hold, for metrics. */
  readonly observeIntervalMs: number;
  /** Age from which an object that no partition names counts as left behind. */
  readonly orphanAgeMs: number;
  readonly rowGroupRows: number;
  /** Where Parquet files are written before they are published; needs room for the runs in work. */
  readonly tempDir: string;
}

const MIB = 1024 * 1024;

/**
 * A core decodes some 150 blocks of a megabyte a second, and a store that takes 50 ms for one keeps it busy with 8 reads
 * under way. Fewer than 16 would let one slow object hold up the lanes of a small machine.
 */
const IO_TOKENS_PER_CORE = 8;
const IO_TOKENS_MIN = 16;

/** Reads all settings; defaults are for one machine, ranges keep each bound real. */
export function readConfig(env: EnvReader): MaterializerConfig {
  const whole = (name: string, fallback: number, min: number, max: number) =>
    env.integer(`TRACELAKE_${name}`, { default: fallback, min, max });
  const seconds = (name: string, fallback: number, min: number, max: number) =>
    env.decimal(`TRACELAKE_${name}`, { default: fallback, min, max }) * 1000;
  const cpuTokens = whole('CPU_TOKENS', Math.max(1, availableParallelism() - 1), 1, 1024);
  return {
    ...readCommonConfig(env),
    port: env.port('TRACELAKE_MATERIALIZER_PORT', { default: 4322 }),
    cpuTokens,
    ioTokens: whole('IO_TOKENS', Math.max(IO_TOKENS_MIN, IO_TOKENS_PER_CORE * cpuTokens), 1, 1024),
    workers: whole('WORKERS', cpuTokens, 1, 1024),
    channelDepth: whole('CHANNEL_DEPTH', 4, 1, 1024),
    buildsPerLane: whole('MATERIALIZER_BUILDS_PER_LANE', 2, 1, 64),
    payloadBytesMax: whole('MATERIALIZER_PAYLOAD_BYTES', 256 * MIB, MIB, 2 ** 40),
    decompressedBytesMax: whole('MAX_DECOMPRESSED_BYTES', 256 * MIB, MIB, 1024 * MIB),
    decodeTimeoutMs: seconds('MATERIALIZER_DECODE_TIMEOUT_S', 60, 0.1, 3600),
    workerHeapMb: whole('MATERIALIZER_WORKER_HEAP_MIB', 512, 64, 65_536),
    debounceMs: whole('MATERIALIZER_DEBOUNCE_MS', 1000, 10, 600_000),
    catchUpIntervalMs: seconds('MATERIALIZER_CATCH_UP_INTERVAL_S', 30, 0.1, 86_400),
    buildTimeoutMs: seconds('MATERIALIZER_BUILD_TIMEOUT_S', 600, 1, 86_400),
    compaction: env.boolean('TRACELAKE_MATERIALIZER_COMPACTION', { default: true }),
    maxDeliver: whole('MATERIALIZER_MAX_DELIVERIES', 5, 1, 100),
    laneLeaseMs: seconds('MATERIALIZER_LANE_LEASE_S', 10, 0.5, 600),
    claimMs: seconds('MATERIALIZER_CLAIM_S', 10, 0.5, 600),
    sweepIntervalMs: seconds('MATERIALIZER_SWEEP_INTERVAL_S', 300, 0.1, 86_400),
    observeIntervalMs: seconds('MATERIALIZER_OBSERVE_INTERVAL_S', 15, 0.1, 3600),
    orphanAgeMs: seconds('MATERIALIZER_ORPHAN_AGE_S', 3600, 1, 30 * 86_400),
    rowGroupRows: whole('MATERIALIZER_ROW_GROUP_ROWS', 32_768, 2048, 2 ** 20),
    tempDir: env.string('TRACELAKE_MATERIALIZER_TEMP_DIR', { default: tmpdir() }),
  };
}
