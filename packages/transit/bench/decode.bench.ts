/**
 * How fast blocks become columns, on one core: blocks of a generated process, as large as those of busy clients.
 * Times are CPU time of the whole process, best of interleaved rounds. Beside the decoders stand a bare loop that
 * only reads the decompressed bytes once, LZ4 alone, and what the decoders do without: tables of known layouts,
 * messages as UTF-8.
 *
 *     npm run bench -- transit [--rounds N]
 */
import { parseArgs } from 'node:util';
import { ensureExists } from '@tracelake/domain';
import {
  type BenchFigure,
  type GeneratedProcessOptions,
  generateProcess,
  type IngestRequest,
  RecordingBuilder,
  reportBench,
} from '@tracelake/test-kit';
import {
  type BlockDecodeInput,
  DEFAULT_DECOMPRESSED_BYTES_MAX,
  decodeAsyncSpanBlock,
  decodeBlockEnvelope,
  decodeLogBlock,
  decodeLz4Frame,
  decodeMetricBlock,
  decodeStreamInfo,
  decodeThreadSpanBlock,
} from '../src/index.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20' } } });
const ROUNDS = Number(values.rounds);
const limits = { decompressedBytesMax: DEFAULT_DECOMPRESSED_BYTES_MAX };

interface BenchCase {
  readonly name: string;
  readonly requests: readonly IngestRequest[];
  /** Rows are spans or entries; a span is two events. */
  readonly eventsPerRow: 1 | 2;
  readonly nsPerRowTarget?: number;
  readonly decode: (input: BlockDecodeInput) => unknown;
  /** The same the slower way. */
  readonly decodeSlowly: (input: BlockDecodeInput) => unknown;
}

function generated(options: GeneratedProcessOptions): IngestRequest[] {
  return [...generateProcess({ blockEventBytes: 7_900_000, ...options })];
}

function namedThreadSpans(): IngestRequest[] {
  const recording = new RecordingBuilder();
  const thread = recording.addThread();
  const scope = { name: '', target: 'synthetic', file: 'src/lib.rs', line: 1 };
  for (let index = 0; index < 120_000; index += 1) {
    thread.beginNamed(scope, `request ${index % 100}`, index * 20);
    thread.endNamed(scope, `request ${index % 100}`, index * 20 + 10);
  }
  return recording.requests();
}

const cases: readonly BenchCase[] = [
  {
    name: 'thread spans',
    requests: generated({ threadSpans: 230_000 }),
    eventsPerRow: 2,
    nsPerRowTarget: 100,
    decode: (input) => decodeThreadSpanBlock(input),
    decodeSlowly: (input) => decodeThreadSpanBlock(input, { isGeneral: true }),
  },
  {
    name: 'named thread spans',
    requests: namedThreadSpans(),
    eventsPerRow: 2,
    decode: (input) => decodeThreadSpanBlock(input),
    decodeSlowly: (input) => decodeThreadSpanBlock(input, { isGeneral: true }),
  },
  {
    name: 'async events',
    requests: generated({ asyncSpans: 180_000 }),
    eventsPerRow: 1,
    nsPerRowTarget: 200,
    decode: (input) => decodeAsyncSpanBlock(input),
    decodeSlowly: (input) => decodeAsyncSpanBlock(input, { isGeneral: true }),
  },
  {
    name: 'log entries',
    requests: generated({ logEntries: 110_000 }),
    eventsPerRow: 1,
    nsPerRowTarget: 350,
    decode: (input) => decodeLogBlock(input),
    decodeSlowly: (input) => decodeLogBlock(input).msg,
  },
  {
    name: 'measures',
    requests: generated({ measures: 300_000 }),
    eventsPerRow: 1,
    nsPerRowTarget: 250,
    decode: (input) => decodeMetricBlock({ ...input, frequencyHz: 1e9 }),
    decodeSlowly: (input) => decodeMetricBlock({ ...input, frequencyHz: 1e9 }),
  },
];

interface LargestBlock {
  readonly input: BlockDecodeInput;
  readonly eventCount: number;
}

function largestBlockOf(requests: readonly IngestRequest[]): LargestBlock {
  const bodies = (path: string) =>
    requests.filter((request) => request.path.endsWith(path)).map(({ body }) => body);
  const [body] = bodies('insert_block').toSorted((one, other) => other.length - one.length);
  const block = decodeBlockEnvelope(ensureExists(body, 'a block'));
  const stream = bodies('insert_stream')
    .map(decodeStreamInfo)
    .find(({ streamId }) => streamId === block.streamId);
  const { dependenciesMetadata, objectsMetadata } = ensureExists(stream, 'its stream');
  const { payload, objectOffset, objectCount: eventCount } = block;
  const input = { dependenciesMetadata, objectsMetadata, payload, objectOffset, limits };
  return { input, eventCount };
}

/** Reads each word once. */
function readBytes({ buffer, byteOffset, byteLength }: Uint8Array): number {
  const view = new DataView(buffer, byteOffset, byteLength);
  let sum = 0;
  for (let at = 0; at + 4 <= byteLength; at += 4) sum = (sum + view.getInt32(at, true)) | 0;
  return sum;
}

function cpuMs(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** The best round of each, where each round does all of them in turn. */
function bestOf<Name extends string>(works: Record<Name, () => unknown>): Record<Name, number> {
  const best = Object.fromEntries(Object.keys(works).map((name) => [name, Infinity]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, work] of Object.entries<() => unknown>(works))
      best[name] = Math.min(best[name] ?? Infinity, cpuMs(work));
  }
  return best as Record<Name, number>;
}

const rows: Record<string, string | number>[] = [];
const figures: BenchFigure[] = [];
for (const { name, requests, eventsPerRow, nsPerRowTarget, decode, decodeSlowly } of cases) {
  const { input, eventCount } = largestBlockOf(requests);
  const rowCount = eventCount / eventsPerRow;
  const raw = decodeLz4Frame(input.payload.objects, limits.decompressedBytesMax);
  const best = bestOf({
    bare: () => readBytes(raw),
    lz4: () => decodeLz4Frame(input.payload.objects, limits.decompressedBytesMax),
    decode: () => decode(input),
    slowly: () => decodeSlowly(input),
  });
  const nsPerRow = (ms: number): string => ((ms * 1e6) / rowCount).toFixed(1);
  rows.push({
    rows: name,
    'bytes/row': (raw.length / rowCount).toFixed(1),
    'bare ns': nsPerRow(best.bare),
    'lz4 ns': nsPerRow(best.lz4),
    'decode ns': nsPerRow(best.decode),
    'target ns': nsPerRowTarget ?? '',
    'decode / bare': (best.decode / best.bare).toFixed(1),
    'lz4 / decode': (best.lz4 / best.decode).toFixed(2),
    'slow way / decode': (best.slowly / best.decode).toFixed(2),
    'lz4 MB/s': (raw.length / best.lz4 / 1000).toFixed(0),
  });
  figures.push({
    name: `transit.decode.${name.replaceAll(' ', '-')}`,
    value: (rowCount / best.decode) * 1000,
    unit: 'rows/s',
    better: 'higher',
    ...(nsPerRowTarget !== undefined && { target: 1e9 / nsPerRowTarget }),
  });
}
console.table(rows);
reportBench(figures);
