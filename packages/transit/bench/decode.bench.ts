/**
 * How fast blocks become columns, on one core. Prints one table; times are CPU time of the best round.
 *
 *     node packages/transit/bench/decode.bench.ts
 */
import { RecordingBuilder, recordNestedSpans, seededRandom } from '@tracelake/test-kit';
import { decodeLogBlock } from '../src/decode-log-block.ts';
import { decodeMetricBlock } from '../src/decode-metric-block.ts';
import { decodeAsyncSpanBlock, decodeThreadSpanBlock } from '../src/decode-span-blocks.ts';
import {
  type BlockDecodeInput,
  DEFAULT_DECOMPRESSED_BYTES_MAX,
  decodeBlockEnvelope,
  decodeLz4Frame,
  decodeStreamInfo,
} from '../src/index.ts';

const EVENTS = 500_000;
const ROUNDS = 7;
const limits = { decompressedBytesMax: DEFAULT_DECOMPRESSED_BYTES_MAX };

interface BenchCase {
  readonly name: string;
  readonly recording: RecordingBuilder;
  readonly decode: (input: BlockDecodeInput) => { readonly count: number };
}

function threadSpans(): RecordingBuilder {
  const recording = new RecordingBuilder();
  recordNestedSpans(recording.addThread(), { spanCount: EVENTS / 2 });
  return recording;
}

function namedThreadSpans(): RecordingBuilder {
  const recording = new RecordingBuilder();
  const thread = recording.addThread();
  const scope = { name: '', target: 'synthetic', file: 'src/lib.rs', line: 1 };
  for (let index = 0; index < EVENTS / 2; index += 1) {
    thread.beginNamed(scope, `request ${index % 100}`, index * 20);
    thread.endNamed(scope, `request ${index % 100}`, index * 20 + 10);
  }
  return recording;
}

function asyncSpans(): RecordingBuilder {
  const recording = new RecordingBuilder();
  const thread = recording.addThread();
  const scope = { name: 'task', target: 'synthetic', file: 'src/lib.rs', line: 1 };
  for (let index = 0; index < EVENTS / 2; index += 1) {
    thread.asyncBegin({ scope, spanId: index + 1, ticks: index * 20 });
    thread.asyncEnd({ scope, spanId: index + 1, ticks: index * 20 + 10 });
  }
  return recording;
}

function logEntries(): RecordingBuilder {
  const recording = new RecordingBuilder();
  const random = seededRandom(1);
  for (let index = 0; index < EVENTS / 5; index += 1) {
    const message = `request ${index} took ${random.int(10_000)} us path=/api/v1/items/${index}`;
    const properties = index % 10 === 0 ? { zone: 'north', shard: `${index % 50}` } : {};
    const isTagged = index % 10 === 0;
    recording.log({ ticks: index, target: 'app', message, ...(isTagged && { properties }) });
  }
  return recording;
}

function measures(): RecordingBuilder {
  const recording = new RecordingBuilder();
  for (let index = 0; index < EVENTS; index += 1) {
    const value = index % 2 === 0 ? index : BigInt(index);
    recording.metric({ ticks: index, target: 'app', name: `metric ${index % 20}`, value });
  }
  return recording;
}

function onlyBlockOf(recording: RecordingBuilder): BlockDecodeInput {
  const requests = recording.requests();
  const [stream] = requests.filter(({ path }) => path.endsWith('insert_stream'));
  const [block] = requests.filter(({ path }) => path.endsWith('insert_block'));
  if (stream === undefined || block === undefined) throw new Error('the recording has no block');
  const { dependenciesMetadata, objectsMetadata } = decodeStreamInfo(stream.body);
  const { payload, objectOffset } = decodeBlockEnvelope(block.body);
  return { dependenciesMetadata, objectsMetadata, payload, objectOffset, limits };
}

function bestCpuMs(work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

function measure({ name, recording, decode }: BenchCase): Record<string, string | number> {
  const input = onlyBlockOf(recording);
  const { objects, dependencies } = input.payload;
  const bytes =
    decodeLz4Frame(objects, limits.decompressedBytesMax).length +
    decodeLz4Frame(dependencies, limits.decompressedBytesMax).length;
  let count = 0;
  const totalMs = bestCpuMs(() => {
    count = decode(input).count;
  });
  const lz4Ms = bestCpuMs(() => {
    decodeLz4Frame(objects, limits.decompressedBytesMax);
  });
  return {
    block: name,
    events: count,
    'M events/s': (count / totalMs / 1000).toFixed(2),
    'ns/event': ((totalMs * 1e6) / count).toFixed(0),
    'MB/s': (bytes / totalMs / 1000).toFixed(0),
    'lz4 MB/s': (bytes / lz4Ms / 1000).toFixed(0),
  };
}

const cases: readonly BenchCase[] = [
  { name: 'thread spans', recording: threadSpans(), decode: decodeThreadSpanBlock },
  { name: 'named thread spans', recording: namedThreadSpans(), decode: decodeThreadSpanBlock },
  { name: 'async spans', recording: asyncSpans(), decode: decodeAsyncSpanBlock },
  { name: 'log entries', recording: logEntries(), decode: decodeLogBlock },
  {
    name: 'measures',
    recording: measures(),
    decode: (input) => decodeMetricBlock({ ...input, frequencyHz: 1e9 }),
  },
];

console.table(cases.map(measure));
