import { tmpdir } from 'node:os';
import { type CommonConfig, type EnvReader, readCommonConfig } from '@tracelake/service-kit';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

export interface QueryConfig extends CommonConfig {
  readonly port: number;
  /** Queries that run at a time, each alone in a process. */
  readonly runningMax: number;
  /** Queries that may wait for their turn; beyond it 429. */
  readonly waitingMax: number;
  /** Processes that wait, loaded, for a statement. */
  readonly warmProcesses: number;
  /** Statements that a process serves one after another; 1 gives each a process of its own. */
  readonly processStatements: number;
  /** Memory that a process may hold after a statement and still serve another. */
  readonly keptBytes: number;
  /** How long such a process waits for another statement. */
  readonly keptS: number;
  /** DuckDB's memory for one query; beyond it sorts, joins and groups spill. */
  readonly memoryBytes: number;
  readonly threads: number;
  /** How long the engine may work on one query, its waits for the reader not counted. */
  readonly timeoutS: number;
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** What one query may spill. */
  readonly tempBytesMax: number;
  /** Of a request's body. */
  readonly bodyBytesMax: number;
  /** Of a block that is looked into. */
  readonly decompressedBytesMax: number;
  /** Remote objects kept on this machine. */
  readonly cacheBytes: number;
  /** How long a query waits for partitions to be built. */
  readonly materializeTimeoutS: number;
  /** How long a reader may take nothing before its connection is closed. */
  readonly stallTimeoutS: number;
  /** Where queries spill and where objects of a remote store are copied to. */
  readonly tempDir: string;
}

export function readQueryConfig(env: EnvReader): QueryConfig {
  const whole = (name: string, fallback: number, min: number, max: number) =>
    env.integer(`TRACELAKE_${name}`, { default: fallback, min, max });
  const seconds = (name: string, fallback: number, min: number, max: number) =>
    env.decimal(`TRACELAKE_${name}`, { default: fallback, min, max });
  return {
    ...readCommonConfig(env),
    port: env.port('TRACELAKE_QUERY_PORT', { default: 4321 }),
    runningMax: whole('QUERY_CONCURRENT_REQUESTS', 4, 1, 1024),
    waitingMax: whole('QUERY_QUEUE_REQUESTS', 32, 0, 100_000),
    warmProcesses: whole('QUERY_WARM_PROCESSES', 2, 0, 64),
    processStatements: whole('QUERY_PROCESS_STATEMENTS', 16, 1, 256),
    keptBytes: whole('QUERY_KEPT_BYTES', 640 * MIB, 0, 2 ** 42),
    keptS: seconds('QUERY_KEPT_S', 30, 0.05, 86_400),
    memoryBytes: whole('QUERY_MEMORY_BYTES', GIB, 64 * MIB, 2 ** 42),
    threads: whole('QUERY_THREADS', 2, 1, 256),
    timeoutS: seconds('QUERY_TIMEOUT_S', 300, 0.05, 86_400),
    rowsMax: whole('QUERY_ROWS', 1_000_000_000, 1, 2 ** 50),
    bytesMax: whole('QUERY_RESULT_BYTES', 100 * GIB, 1024, 2 ** 50),
    tempBytesMax: whole('QUERY_TEMP_BYTES', 10 * GIB, MIB, 2 ** 50),
    bodyBytesMax: whole('QUERY_BODY_BYTES', MIB, 1024, GIB),
    decompressedBytesMax: whole('MAX_DECOMPRESSED_BYTES', 256 * MIB, MIB, GIB),
    cacheBytes: whole('QUERY_CACHE_BYTES', 10 * GIB, MIB, 2 ** 50),
    materializeTimeoutS: seconds('MATERIALIZE_TIMEOUT_S', 120, 0.05, 86_400),
    stallTimeoutS: seconds('QUERY_STALL_TIMEOUT_S', 600, 0.05, 86_400),
    tempDir: env.string('TRACELAKE_QUERY_TEMP_DIR', { default: tmpdir() }),
  };
}
