/** Recordings made up by a seed: everything a client may send that does not nest, close, pair or follow on. */

import {
  RecordingBuilder,
  type ScopeSpec,
  type SeededRandom,
  seededRandom,
  type ThreadRecorder,
} from '@tracelake/test-kit';

const SCOPES: readonly ScopeSpec[] = [
  { name: 'frame', target: 'app', file: 'main.rs', line: 3 },
  { name: 'load', target: 'app::io', file: 'io.rs', line: 14 },
  { name: 'load', target: 'app::io', file: 'io.rs', line: 90 },
  { name: 'wait', target: 'runtime', file: '', line: 0 },
];

/** What the threads of a process share: async ids that are open or were used. */
interface AsyncIds {
  readonly open: number[];
  readonly used: number[];
}

/** One to three threads of up to `blocksMax` blocks each. */
export function syntheticRecording(seed: number, blocksMax: number): RecordingBuilder {
  const random = seededRandom(seed);
  const recording = new RecordingBuilder({
    seed,
    frequencyHz: random.pick([1e9, 1e9, 3_187_203_000, 1e7]),
    isFrequencyUnknown: random.int(4) === 0,
  });
  const threads = Array.from({ length: 1 + random.int(3) }, (_, index) => ({
    recorder: recording.addThread(threadNameOf(random, index)),
    now: random.int(1000),
    stack: [] as ScopeSpec[],
    eventCount: 0,
    blocksLeft: 1 + random.int(blocksMax),
  }));
  const asyncIds = { open: [], used: [] };
  for (let live = threads; live.length > 0; live = live.filter((one) => one.blocksLeft > 0)) {
    const thread = random.pick(live);
    thread.blocksLeft -= 1;
    recordBlock(random, thread, asyncIds);
  }
  if (random.int(2) === 0) recording.log({ ticks: 5, target: 'app', message: 'started' });
  return recording;
}

function threadNameOf(random: SeededRandom, index: number): { name?: string; id?: string } {
  return random.int(5) === 0 ? {} : { name: `worker ${index}`, id: String(index + 1) };
}

interface Thread {
  readonly recorder: ThreadRecorder;
  now: number;
  readonly stack: ScopeSpec[];
  /** Ids that were given out at least. */
  eventCount: number;
}

function recordBlock(random: SeededRandom, thread: Thread, asyncIds: AsyncIds): void {
  const { recorder, stack } = thread;
  const isGap = random.int(6) === 0;
  let now = thread.now + (isGap ? 1 + random.int(50) : 0);
  const begin = now;
  if (random.int(8) === 0) recorder.skipEvents(random.int(20));
  // The client counts again from an id it has used.
  if (random.int(15) === 0) recorder.skipEvents(-random.int(Math.min(6, thread.eventCount + 1)));
  const events: (() => void)[] = [];
  for (let left = 1 + random.int(9); left > 0; left -= 1) {
    now += random.int(4);
    const ticks = now - (random.int(25) === 0 ? 7 : 0);
    events.push(randomEvent(random, recorder, stack, asyncIds, ticks));
  }
  const endTicks = now + (random.int(5) === 0 ? random.int(20) : 0);
  if (random.int(40) === 0) events.push(() => recorder.appendRecord(Uint8Array.of(255, 255, 255)));
  const flush = {
    endTicks,
    ...((isGap || random.int(3) > 0) && { beginTicks: begin }),
    ...(random.int(10) === 0 && { objectCount: random.int(30) }),
  };
  for (const record of events) record();
  recorder.flushBlock(flush);
  if (random.int(12) === 0) {
    // The same again under another block id: equal times and equal event ids.
    recorder.skipEvents(-events.length);
    for (const record of events) record();
    recorder.flushBlock({ ...flush, beginTicks: begin });
  }
  thread.now = now;
  thread.eventCount = Math.max(thread.eventCount - 5, 0) + events.length;
}

/** What the next event is, to be recorded once or twice. */
function randomEvent(
  random: SeededRandom,
  recorder: ThreadRecorder,
  stack: ScopeSpec[],
  asyncIds: AsyncIds,
  ticks: number,
): () => void {
  const dice = random.int(24);
  const scope = random.pick(SCOPES);
  const jobName = `job ${random.int(3)}`;
  if (dice === 8) stack.pop(); // its end is lost
  const open = stack.at(-1);
  if (dice < 6) return randomAsyncEvent(random, recorder, asyncIds, ticks);
  if (dice === 6) return () => recorder.futureEvent(ticks);
  if (dice === 7) return () => recorder.end(scope, ticks); // its begin may be lost
  if (dice === 9) return () => recorder.beginNamed(scope, jobName, ticks);
  if (dice === 10) return () => recorder.endNamed(scope, jobName, ticks);
  if (dice < 18 || open === undefined) {
    stack.push(scope);
    return () => recorder.begin(scope, ticks);
  }
  stack.pop();
  return () => recorder.end(open, ticks);
}

function randomAsyncEvent(
  random: SeededRandom,
  recorder: ThreadRecorder,
  { open, used }: AsyncIds,
  ticks: number,
): () => void {
  const scope = random.pick(SCOPES);
  const dice = random.int(10);
  if (dice < 5 || open.length === 0) {
    // Now and then an id is used again, or its end has come before.
    const spanId = dice === 0 && used.length > 0 ? random.pick(used) : used.length + 1;
    const parentSpanId = random.int(2) === 0 ? random.pick([0, ...open]) : 0;
    const depth = random.int(3);
    open.push(spanId);
    used.push(spanId);
    return () => recorder.asyncBegin({ scope, ticks, spanId, parentSpanId, depth });
  }
  const [spanId = 0] = open.splice(random.int(open.length), 1);
  return () => recorder.asyncEnd({ scope, ticks, spanId, parentSpanId: 0 });
}
