import { type CommonConfig, type EnvReader, readCommonConfig } from '@tracelake/service-kit';

const KIB = 1024;
const MIB = 1024 * KIB;

export interface IngestConfig extends CommonConfig {
  readonly port: number;
  /** Largest request body; the reference's clients send at most about 10 MiB before compression. */
  readonly maxBodyBytes: number;
  /** Bytes of request bodies held at once, over all connections; a body costs about twice itself. */
  readonly maxInFlightBytes: number;
  /** Most that the two buffers of one block may decompress to, judged from their headers. */
  readonly maxDecompressedBytes: number;
  /** How long the store and the database may take over one request before it is answered with 503. */
  readonly writeTimeoutS: number;
  /**
   * Threads that write objects to a directory, each with one file being synced at a time. File systems make syncs
   * that come together durable together, so several give more than one after the other.
   */
  readonly objectWriterThreads: number;
  /** Messages waiting to be announced; what does not fit is left to the sweeper. */
  readonly announceQueueMessages: number;
  /** Time between two looks for rows that were never announced. */
  readonly sweepIntervalS: number;
}

export function readIngestConfig(env: EnvReader): IngestConfig {
  const common = readCommonConfig(env);
  const maxBodyBytes = env.integer('TRACELAKE_MAX_BODY_BYTES', {
    default: 64 * MIB,
    min: KIB,
    max: 1024 * MIB,
  });
  const maxInFlightBytes = env.integer('TRACELAKE_INGEST_MAX_IN_FLIGHT_BYTES', {
    default: 256 * MIB,
    min: MIB,
    max: 64 * KIB * MIB,
  });
  if (maxInFlightBytes < 2 * maxBodyBytes) {
    const least = `at least twice TRACELAKE_MAX_BODY_BYTES (${2 * maxBodyBytes})`;
    env.report('TRACELAKE_INGEST_MAX_IN_FLIGHT_BYTES', `must be ${least}, not ${maxInFlightBytes}`);
  }
  return {
    ...common,
    port: env.port('TRACELAKE_INGEST_PORT', { default: 4318 }),
    maxBodyBytes,
    maxInFlightBytes,
    maxDecompressedBytes: env.integer('TRACELAKE_MAX_DECOMPRESSED_BYTES', {
      default: 256 * MIB,
      min: MIB,
      max: 1024 * MIB,
    }),
    writeTimeoutS: env.decimal('TRACELAKE_INGEST_WRITE_TIMEOUT_S', {
      default: 20,
      min: 0.1,
      max: 600,
    }),
    objectWriterThreads: env.integer('TRACELAKE_INGEST_OBJECT_WRITER_THREADS', {
      default: 4,
      min: 1,
      max: 64,
    }),
    announceQueueMessages: env.integer('TRACELAKE_INGEST_ANNOUNCE_QUEUE_MESSAGES', {
      default: 10_000,
      min: 1,
      max: 1_000_000,
    }),
    sweepIntervalS: env.decimal('TRACELAKE_INGEST_SWEEP_INTERVAL_S', {
      default: 5,
      min: 0.05,
      max: 3600,
    }),
  };
}
