/**
 * A process of any size for benchmarks, as a native client would have sent it. What costs time and space depends
 * on how predictable the events are, so their times vary as those of a real program do.
 */
import type { IngestRequest } from './fixtures.ts';
import { RecordingBuilder } from './recording-builder.ts';
import { type SeededRandom, seededRandom } from './seeded-random.ts';
import type { ScopeSpec, ThreadRecorder } from './thread-recorder.ts';

export interface GeneratedProcessOptions {
  /** Decides ids, times and values: the same options give the same bytes. 1 by default. */
  readonly seed?: number;
  /** All of one thread, nested as `outer` > 2 `inner` > 2 `leaf` each; none by default, as the other kinds. */
  readonly threadSpans?: number;
  /** Of two threads that hand them over to each other. */
  readonly asyncSpans?: number;
  readonly logEntries?: number;
  readonly measures?: number;
  /** A block ends when its events reach this many bytes before compression. */
  readonly blockEventBytes?: number;
}

export interface GeneratedProcess extends Iterable<IngestRequest> {
  readonly processId: string;
}

/** What a thread span takes in a block before compression: its begin and its end. */
const BYTES_PER_THREAD_SPAN = 34;
/** 2.1 million thread spans come in 9 blocks; compressed they are about 2.8 MB each. */
export const GENERATED_BLOCK_EVENT_BYTES = 233_400 * BYTES_PER_THREAD_SPAN;

const TICKS_PER_NS = 3;
const SPANS_PER_ITERATION = 7;
/** Asynchronous spans in flight at once. */
const TASKS_IN_FLIGHT = 16;

/**
 * Makes the requests of one process in the order a client sends them, one block at a time: memory holds a block
 * for each stream, however many there are. Going through it again gives the same requests.
 *
 *     const generated = generateProcess({ threadSpans: 2_100_000 });
 *     for (const { path, body } of generated) await post(path, body);
 */
export function generateProcess(options: GeneratedProcessOptions): GeneratedProcess {
  return {
    processId: startRecording(options).processId,
    [Symbol.iterator]: () => generateRequests(options),
  };
}

function startRecording({ seed = 1 }: GeneratedProcessOptions): RecordingBuilder {
  return new RecordingBuilder({
    seed,
    exe: '/usr/bin/generated-app',
    frequencyHz: TICKS_PER_NS * 1e9,
    frame: { hasLinkedBlocks: true, searchesMax: 16 },
  });
}

function* generateRequests(options: GeneratedProcessOptions): Generator<IngestRequest, void, void> {
  const recording = startRecording(options);
  const { blockEventBytes = GENERATED_BLOCK_EVENT_BYTES } = options;
  const clock = new JitteryClock(seededRandom(options.seed ?? 1));
  const sources = sourcesOf(options, recording, clock);
  const steps = Math.max(0, ...sources.map(({ count, perStep }) => Math.ceil(count / perStep)));
  for (let step = 0; step < steps; step += 1) {
    for (const { count, perStep, record, recorder } of sources) {
      // Kinds with fewer events are spread evenly over the process's life.
      const stepsOfKind = Math.ceil(count / perStep);
      const from = Math.floor((step * stepsOfKind) / steps) * perStep;
      const to = Math.min(count, Math.floor(((step + 1) * stepsOfKind) / steps) * perStep);
      if (from >= to) continue;
      record(from, to);
      if (recorder().objectBytes >= blockEventBytes) recorder().flushBlock();
    }
    yield* recording.takeRequests();
  }
  recording.flushAll();
  yield* recording.takeRequests();
}

interface EventSource {
  readonly count: number;
  /** How many are recorded at once at most. */
  readonly perStep: number;
  record(from: number, to: number): void;
  recorder(): { readonly objectBytes: number; flushBlock(): void };
}

function sourcesOf(
  options: GeneratedProcessOptions,
  recording: RecordingBuilder,
  clock: JitteryClock,
): EventSource[] {
  const { threadSpans = 0, asyncSpans = 0, logEntries = 0, measures = 0 } = options;
  const sources: EventSource[] = [];
  if (threadSpans > 0) {
    const thread = recording.addThread({ name: 'main', id: '1' });
    sources.push({
      count: threadSpans,
      perStep: SPANS_PER_ITERATION,
      record: (from, to) => recordIteration(thread, clock, to - from),
      recorder: () => thread,
    });
  }
  if (asyncSpans > 0) sources.push(...asyncSources(asyncSpans, recording, clock));
  if (logEntries > 0) {
    sources.push({
      count: logEntries,
      perStep: 1,
      record: (from) => recordLogEntry(recording, clock, from),
      recorder: () => recording.logStream,
    });
  }
  if (measures > 0) {
    sources.push({
      count: measures,
      perStep: 1,
      record: (from) => recordMeasure(recording, clock, from),
      recorder: () => recording.metricStream,
    });
  }
  return sources;
}

/** A clock that each thing done moves on, by times that spread as those of real work do. */
class JitteryClock {
  readonly random: SeededRandom;
  /** Since the process's start. */
  ticks = 0;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  /** Moves on by half to one and a half times `ns`; one time in 64 by up to 40 times as much. */
  pass(ns: number): number {
    const roll = this.random.next();
    const isSlow = roll < 1 / 64;
    const factor = isSlow ? 64 * 40 * roll + 1 : roll + 0.5;
    this.ticks += Math.round(ns * factor * TICKS_PER_NS);
    return this.ticks;
  }
}

const OUTER = { name: 'outer', target: 'generated', file: 'src/main.rs', line: 10 };
const INNER = { name: 'inner', target: 'generated', file: 'src/main.rs', line: 20 };
const LEAF = { name: 'leaf', target: 'generated::leaf', file: 'src/leaf.rs', line: 30 };
/** Nanoseconds between two events: what tracing itself costs, and the work of a leaf. */
const GAP_NS = 40;
const LEAF_NS = 1000;
const PAUSE_NS = 4000;

/** Records one iteration, or the first `spanCount` spans of it. */
function recordIteration(thread: ThreadRecorder, clock: JitteryClock, spanCount: number): void {
  let rest = spanCount - 1;
  thread.begin(OUTER, clock.pass(PAUSE_NS));
  for (let inner = 0; inner < 2 && rest > 0; inner += 1) {
    thread.begin(INNER, clock.pass(GAP_NS));
    rest -= 1;
    for (let leaf = 0; leaf < 2 && rest > 0; leaf += 1) {
      thread.begin(LEAF, clock.pass(GAP_NS));
      thread.end(LEAF, clock.pass(LEAF_NS));
      rest -= 1;
    }
    thread.end(INNER, clock.pass(GAP_NS));
  }
  thread.end(OUTER, clock.pass(GAP_NS));
}

const TASK_SCOPES: readonly ScopeSpec[] = Array.from({ length: 12 }, (_, index) => ({
  name: `task_${index}`,
  target: 'generated::tasks',
  file: 'src/tasks.rs',
  line: 10 + index,
}));

/** Each task begins on one thread and ends on the other, after those that began before it, more or less. */
function asyncSources(
  count: number,
  recording: RecordingBuilder,
  clock: JitteryClock,
): EventSource[] {
  const first = recording.addThread({ name: 'worker-1', id: '2' });
  const second = recording.addThread({ name: 'worker-2', id: '3' });
  const inFlight: number[] = [];
  const thread = (spanId: number, isOther: boolean) =>
    (spanId % 2 === 0) === isOther ? first : second;
  const event = (spanId: number) => {
    const isChild = spanId % 3 !== 1;
    return {
      scope: TASK_SCOPES[spanId % TASK_SCOPES.length] as ScopeSpec,
      spanId,
      parentSpanId: isChild ? spanId - 1 : 0,
      depth: isChild ? 1 : 0,
      ticks: clock.pass(LEAF_NS),
    };
  };
  const end = (): void => {
    const [spanId = 0] = inFlight.splice(clock.random.int(inFlight.length), 1);
    thread(spanId, true).asyncEnd(event(spanId));
  };
  const record = (from: number): void => {
    if (inFlight.length === TASKS_IN_FLIGHT) end();
    inFlight.push(from + 1);
    thread(from + 1, false).asyncBegin(event(from + 1));
    while (from + 1 === count && inFlight.length > 0) end();
  };
  return [
    { count, perStep: 1, record, recorder: () => first },
    // Filled by the tasks of the first; here its blocks are looked after.
    { count, perStep: 1, record: () => {}, recorder: () => second },
  ];
}

const LEVEL_OF_TEN = [2, 3, 3, 4, 4, 4, 4, 5, 5, 5] as const;

/** One in five is a constant message, one in ten has properties; the rest are formatted and nearly all differ. */
function recordLogEntry(recording: RecordingBuilder, clock: JitteryClock, index: number): void {
  const { random } = clock;
  const ticks = clock.pass(LEAF_NS);
  const target = `generated::module_${random.int(8)}`;
  const level = LEVEL_OF_TEN[random.int(10)] ?? 4;
  if (random.int(5) === 0) {
    const message = `cache was refreshed by worker ${random.int(16)}`;
    recording.log({ ticks, target, level, message, isConstant: true });
    return;
  }
  const message = `request ${index} took ${random.int(100_000)} us path=/api/v1/items/${random.int(1e6)}`;
  if (random.int(8) !== 0) {
    recording.log({ ticks, target, level, message });
    return;
  }
  const properties = { zone: `zone-${random.int(3)}`, shard: `${random.int(50)}` };
  recording.log({ ticks, target, level, message, properties });
}

/** Twenty measures, half of them integers; one in ten has properties. */
function recordMeasure(recording: RecordingBuilder, clock: JitteryClock, index: number): void {
  const { random } = clock;
  const which = index % 20;
  const value = which % 2 === 0 ? BigInt(random.int(1e6)) : random.next() * 100;
  recording.metric({
    ticks: clock.pass(LEAF_NS),
    target: 'generated::metrics',
    name: `measure_${which}`,
    unit: which % 2 === 0 ? 'bytes' : 'ms',
    value,
    ...(random.int(10) === 0 && { properties: { zone: `zone-${random.int(3)}` } }),
  });
}
