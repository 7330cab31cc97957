/** A process with every kind of event, of any size, for queries to run over. */

import {
  RecordingBuilder,
  recordNestedSpans,
  seededRandom,
  type ThreadRecorder,
} from '@tracelake/test-kit';
import { postUntilAcknowledged } from '../../src/harness/client.ts';

const BLOCK_BYTES = 3 * 1024 * 1024;
/** What is recorded before its requests leave. */
const SLICE_SPANS = 200_000;
/** Of the events that are not thread spans, of each kind. */
const OTHERS_PER_SPAN = 0.1;
const TARGETS = ['http', 'storage', 'render', 'network'];

export interface SyntheticLake {
  readonly processId: string;
  /** The thread that has most of the spans. */
  readonly streamId: string;
  /** Display names by stream. */
  readonly threadNames: ReadonlyMap<string, string>;
}

/** Sends thread spans on two threads, and a tenth as many log entries, measures and async spans each. */
export async function sendSyntheticLake(
  ingestUrl: string,
  spanCount: number,
): Promise<SyntheticLake> {
  const recording = new RecordingBuilder({ seed: spanCount });
  const main = recording.addThread({ name: 'main', id: '1' });
  const worker = recording.addThread({ name: 'worker', id: '2' });
  const others = new OtherEvents(recording, [main, worker]);
  let at = 0;
  for (let sent = 0; sent < spanCount; sent += SLICE_SPANS) {
    const slice = Math.min(SLICE_SPANS, spanCount - sent);
    const options = { ticksPerEvent: 80 + ((sent / SLICE_SPANS) % 7) * 10, beginTicks: at };
    const mainSpans = Math.ceil(slice * 0.75);
    const blocks = { ...options, blockBytesMax: BLOCK_BYTES };
    const end = recordNestedSpans(main, { ...blocks, spanCount: mainSpans });
    recordNestedSpans(worker, { ...blocks, spanCount: slice - mainSpans });
    others.record(Math.round(slice * OTHERS_PER_SPAN), at, end);
    at = end + 100;
    recording.flushAll();
    const requests = recording.takeRequests();
    // What a block needs leaves before it.
    for (const request of requests) await postUntilAcknowledged(ingestUrl, request);
  }
  return {
    processId: recording.processId,
    streamId: main.stream.streamId,
    threadNames: new Map([
      [main.stream.streamId, 'main-1'],
      [worker.stream.streamId, 'worker-2'],
    ]),
  };
}

class OtherEvents {
  readonly #recording: RecordingBuilder;
  readonly #threads: readonly ThreadRecorder[];
  readonly #random = seededRandom(4);
  #spanId = 1;

  constructor(recording: RecordingBuilder, threads: readonly ThreadRecorder[]) {
    this.#recording = recording;
    this.#threads = threads;
  }

  /** So many of each kind, spread over the ticks. */
  record(count: number, beginTicks: number, endTicks: number): void {
    const step = (endTicks - beginTicks) / count;
    for (let index = 0; index < count; index++) {
      const ticks = Math.floor(beginTicks + index * step);
      this.#log(index, ticks);
      this.#measure(index, ticks);
      this.#asyncSpan(index, ticks, Math.floor(step));
    }
  }

  #log(index: number, ticks: number): void {
    const isSlow = index % 500 === 0;
    this.#recording.log({
      ticks,
      level: 2 + (index % 4),
      target: TARGETS[index % 7] ?? 'other',
      message: isSlow
        ? `slow request ${index}: ${this.#random.int(5000)} ms`
        : `request ${index} from 10.0.${index % 256}.${this.#random.int(256)} took ${this.#random.int(100)} ms`,
      ...(index % 20 === 0 && { properties: { zone: `zone ${index % 6}` } }),
    });
  }

  #measure(index: number, ticks: number): void {
    const name = ['latency', 'requests', 'queue depth'][index % 3] ?? '';
    this.#recording.metric({
      ticks,
      target: 'http',
      name,
      unit: 'ms',
      value: this.#random.int(500),
    });
  }

  /** Two in a row are parent and child; every fourth ends on the other thread. */
  #asyncSpan(index: number, ticks: number, step: number): void {
    const isChild = index % 2 === 1;
    const spanId = this.#spanId++;
    const thread = this.#threads[index % 8 === 0 ? 1 : 0];
    const ender = index % 4 === 0 ? this.#threads[1] : thread;
    const event = {
      scope: isChild ? LOAD : FETCH,
      spanId,
      parentSpanId: isChild ? spanId - 1 : 0,
      depth: isChild ? 1 : 0,
    };
    thread?.asyncBegin({ ...event, ticks });
    ender?.asyncEnd({ ...event, ticks: ticks + Math.floor(step / 2) });
  }
}

const FETCH = { name: 'fetch', target: 'network', file: 'src/fetch.rs', line: 7 };
const LOAD = { name: 'load', target: 'storage', file: 'src/load.rs', line: 9 };
