import {
  type BlockInfo,
  ensureExists,
  nanoseconds,
  type ProcessInfo,
  parseProcessId,
  parseStreamId,
  type StreamInfo,
  ticks,
} from '@tracelake/domain';
import {
  type EnvelopeStyle,
  encodeBlockEnvelope,
  encodeProcessInfo,
  encodeStreamInfo,
} from '@tracelake/transit';
import type { BlockRecorder, FlushOptions, RecordingContext } from './block-recorder.ts';
import type { IngestRequest } from './fixtures.ts';
import { LogRecorder, type LogSpec } from './log-recorder.ts';
import type { Lz4FrameOptions } from './lz4-frame-encoder.ts';
import { MetricRecorder, type MetricSpec } from './metric-recorder.ts';
import {
  logDependencies,
  logObjects,
  metricDependencies,
  metricObjects,
  threadDependencies,
  threadObjects,
} from './native-types.ts';
import { seededRandom } from './seeded-random.ts';
import { ThreadRecorder } from './thread-recorder.ts';

export interface RecordingOptions {
  /** Decides every id; the same seed gives the same bytes. */
  readonly seed?: number;
  readonly processId?: string;
  readonly exe?: string;
  /** Ticks per second of the producer's clock. */
  readonly frequencyHz?: number;
  /** Sends a frequency of 0, as virtual machines do; times still follow `frequencyHz`. */
  readonly isFrequencyUnknown?: boolean;
  readonly startNs?: bigint;
  /** The tick counter at the process's start. */
  readonly startTicks?: number;
  readonly parentProcessId?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly style?: EnvelopeStyle;
  readonly frame?: Lz4FrameOptions;
}

export interface ThreadOptions {
  readonly name?: string;
  /** Decimal text in the real clients. */
  readonly id?: string;
  readonly streamId?: string;
  readonly tags?: readonly string[];
}

const DEFAULT_START_NS = 1_795_000_000_000_000_000n;

/**
 * Builds what a native client would have sent: a process, its streams and blocks, with layouts as the Rust
 * client has them. Ticks are relative to the process's start everywhere. Events are written straight into
 * growing buffers, so that millions of spans take seconds.
 *
 *     const recording = new RecordingBuilder({ seed: 1, frequencyHz: 1e9 });
 *     const thread = recording.addThread({ name: 'main', id: '1' });
 *     thread.begin({ name: 'frame' }, 100);
 *     thread.end({ name: 'frame' }, 200);
 *     for (const { path, body } of recording.requests()) await post(path, body);
 */
export class RecordingBuilder {
  readonly process: ProcessInfo;
  readonly #style: EnvelopeStyle;
  readonly #context: RecordingContext;
  readonly #recorders: BlockRecorder[] = [];
  readonly #pointers = new Map<string, number>();
  readonly #requests: IngestRequest[] = [];
  readonly #nextUuid: () => string;
  #log: LogRecorder | undefined;
  #metrics: MetricRecorder | undefined;

  constructor(options: RecordingOptions = {}) {
    this.#style = options.style ?? 'rust';
    this.#nextUuid = uuidSource(options.seed ?? 1);
    this.process = processOf(options, this.#nextUuid);
    this.#context = {
      startNs: this.process.startNs,
      startTicks: Number(this.process.startTicks),
      frequencyHz: options.frequencyHz ?? 1e9,
      frame: options.frame ?? {},
      pointerOf: (kind) => this.#pointerOf(kind),
      nextUuid: this.#nextUuid,
      emitBlock: (block, dependencies, objects) => this.#emitBlock(block, dependencies, objects),
    };
    this.#emit('insert_process', encodeProcessInfo(this.process, this.#style));
  }

  get processId(): string {
    return this.process.processId;
  }

  /** Adds a `cpu` stream. */
  addThread(options: ThreadOptions = {}): ThreadRecorder {
    const properties = {
      ...(options.id !== undefined && { 'thread-id': options.id }),
      ...(options.name !== undefined && { 'thread-name': options.name }),
    };
    const stream = {
      ...this.#streamOf(options.tags ?? ['cpu'], properties, options.streamId),
      dependenciesMetadata: threadDependencies,
      objectsMetadata: threadObjects,
    };
    return this.#added(new ThreadRecorder(this.#context, stream));
  }

  /** Adds an entry to the process's one log stream. */
  log(entry: LogSpec): void {
    this.logStream.log(entry);
  }

  /** Adds a measure to the process's one metric stream. */
  metric(entry: MetricSpec): void {
    this.metricStream.metric(entry);
  }

  get logStream(): LogRecorder {
    this.#log ??= this.#added(
      new LogRecorder(this.#context, {
        ...this.#streamOf(['log'], {}),
        dependenciesMetadata: logDependencies,
        objectsMetadata: logObjects,
      }),
    );
    return this.#log;
  }

  get metricStream(): MetricRecorder {
    this.#metrics ??= this.#added(
      new MetricRecorder(this.#context, {
        ...this.#streamOf(['metrics'], {}),
        dependenciesMetadata: metricDependencies,
        objectsMetadata: metricObjects,
      }),
    );
    return this.#metrics;
  }

  /** Ends the open block of every stream. */
  flushAll(options: FlushOptions = {}): void {
    for (const recorder of this.#recorders) recorder.flushBlock(options);
  }

  /** Flushes what is open and returns everything sent so far, in order. */
  requests(): IngestRequest[] {
    this.flushAll();
    return [...this.#requests];
  }

  /** Returns what was sent since the last call and forgets it; open blocks stay open. For long recordings. */
  takeRequests(): IngestRequest[] {
    return this.#requests.splice(0);
  }

  #added<Recorder extends BlockRecorder>(recorder: Recorder): Recorder {
    this.#recorders.push(recorder);
    this.#emit('insert_stream', encodeStreamInfo(recorder.stream, this.#style));
    return recorder;
  }

  #streamOf(
    tags: readonly string[],
    properties: Readonly<Record<string, string>>,
    streamId?: string,
  ): Pick<StreamInfo, 'streamId' | 'processId' | 'tags' | 'properties'> {
    const id = ensureExists(parseStreamId(streamId ?? this.#nextUuid()), 'a valid stream id');
    return { streamId: id, processId: this.process.processId, tags, properties };
  }

  #pointerOf(kind: string): number {
    const known = this.#pointers.get(kind);
    if (known !== undefined) return known;
    const pointer = this.#pointers.size + 1;
    this.#pointers.set(kind, pointer);
    return pointer;
  }

  #emitBlock(block: BlockInfo, dependencies: Uint8Array, objects: Uint8Array): void {
    const payload = { dependencies, objects };
    this.#emit('insert_block', encodeBlockEnvelope({ ...block, payload }, this.#style));
  }

  #emit(path: string, body: Uint8Array): void {
    this.#requests.push({ path: `/ingestion/${path}`, body });
  }
}

function processOf(options: RecordingOptions, nextUuid: () => string): ProcessInfo {
  const { parentProcessId } = options;
  const frequencyHz = options.isFrequencyUnknown ? 0 : (options.frequencyHz ?? 1e9);
  return {
    processId: ensureExists(parseProcessId(options.processId ?? nextUuid()), 'a valid process id'),
    exe: options.exe ?? '/usr/bin/synthetic-app',
    username: 'dev',
    realname: 'dev',
    computer: 'build-host',
    distro: 'Debian GNU/Linux 12 (bookworm)',
    cpuBrand: 'synthetic',
    tscFrequencyHz: BigInt(frequencyHz),
    startNs: nanoseconds(options.startNs ?? DEFAULT_START_NS),
    startTicks: ticks(BigInt(options.startTicks ?? 14_611_225_828_250)),
    parentProcessId:
      parentProcessId === undefined
        ? undefined
        : ensureExists(parseProcessId(parentProcessId), 'a valid parent process id'),
    properties: options.properties ?? {},
  };
}

function uuidSource(seed: number): () => string {
  const random = seededRandom(seed);
  return () => {
    const bytes = Buffer.from(Array.from({ length: 16 }, () => random.int(256)));
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return [
      hex.slice(0, 8),
      hex.slice(8, 12),
      hex.slice(12, 16),
      hex.slice(16, 20),
      hex.slice(20),
    ].join('-');
  };
}
