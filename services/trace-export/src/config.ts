import { tmpdir } from 'node:os';
import { type CommonConfig, type EnvReader, readCommonConfig } from '@tracelake/service-kit';

const MIB = 1024 * 1024;

export interface TraceExportConfig extends CommonConfig {
  readonly port: number;
  /** Bytes of a chunk; with the capacity of the channel, what waits for a slow reader. */
  readonly chunkBytes: number;
  readonly channelChunks: number;
  /** Async spans held open at once; beyond it they become instants. */
  readonly openSpansMax: number;
  /** Exports served at once, those that wait for a build included; beyond it 503. */
  readonly exportsMax: number;
  /** How long a request waits for partitions to be built. */
  readonly materializeTimeoutS: number;
  /** How long a reader may take nothing before its connection is closed. */
  readonly stallTimeoutS: number;
  /** DuckDB's memory for one export; sorting and joining async events spills beyond it. */
  readonly queryMemoryBytes: number;
  /** Where exports spill and where objects of a remote store are copied to. */
  readonly tempDir: string;
}

export function readTraceExportConfig(env: EnvReader): TraceExportConfig {
  const whole = (name: string, fallback: number, min: number, max: number) =>
    env.integer(`TRACELAKE_${name}`, { default: fallback, min, max });
  const seconds = (name: string, fallback: number, min: number, max: number) =>
    env.decimal(`TRACELAKE_${name}`, { default: fallback, min, max });
  return {
    ...readCommonConfig(env),
    port: env.port('TRACELAKE_TRACE_EXPORT_PORT', { default: 4320 }),
    chunkBytes: whole('EXPORT_CHUNK_BYTES', 8192, 64, 16 * MIB),
    channelChunks: whole('EXPORT_CHANNEL_CHUNKS', 16, 1, 4096),
    openSpansMax: whole('EXPORT_MAX_OPEN_SPANS', 1_000_000, 1, 100_000_000),
    exportsMax: whole('EXPORT_CONCURRENT_REQUESTS', 8, 1, 1024),
    materializeTimeoutS: seconds('MATERIALIZE_TIMEOUT_S', 120, 0.05, 86_400),
    stallTimeoutS: seconds('EXPORT_STALL_TIMEOUT_S', 600, 0.05, 86_400),
    queryMemoryBytes: whole('EXPORT_QUERY_MEMORY_BYTES', 256 * MIB, 32 * MIB, 2 ** 40),
    tempDir: env.string('TRACELAKE_EXPORT_TEMP_DIR', { default: tmpdir() }),
  };
}
