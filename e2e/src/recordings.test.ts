/**
 * Recordings of real clients, sent in any order, twice over and in every encoding, give the rows of the
 * reference: in the Parquet files of every view and in the tables, value by value.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fixtureCases, loadFixture, type NativeFixture, seededRandom } from '@tracelake/test-kit';
import type { EnvelopeStyle } from '@tracelake/transit';
import { replay, type TelemetryRequest } from './harness/client.ts';
import { copyProcess, type ProcessCopy } from './harness/fixture-copy.ts';
import { LakeReader, type LakeRow } from './harness/lake-rows.ts';
import { type ProcessStack, startProcessStack } from './harness/process-stack.ts';

const STYLES: readonly EnvelopeStyle[] = ['rust', 'unreal', 'legacy-arrays'];
const SHUFFLE_SEEDS = [1, 2, 3, 4, 5];
const COPIES_AT_ONCE = 3;
const NS_PER_MS = 1_000_000n;

interface Delivery {
  readonly name: string;
  readonly arrange: (requests: readonly TelemetryRequest[]) => TelemetryRequest[];
}

const DELIVERIES: readonly Delivery[] = [
  { name: 'as recorded', arrange: (requests) => [...requests] },
  { name: 'twice over', arrange: (requests) => [...requests, ...requests] },
  ...SHUFFLE_SEEDS.map((seed) => ({
    name: `shuffled with seed ${seed}`,
    arrange: (requests: readonly TelemetryRequest[]) => seededRandom(seed).shuffle([...requests]),
  })),
];

describe('recordings of real clients', () => {
  let stack: ProcessStack;
  let lake: LakeReader;

  before(async () => {
    stack = await startProcessStack();
    lake = await LakeReader.open(stack);
  });

  after(async () => {
    await lake?.[Symbol.asyncDispose]();
    await stack?.[Symbol.asyncDispose]();
  });

  for (const name of fixtureCases()) {
    test(`"${name}" gives the rows of the reference however it is sent`, async () => {
      const cases = STYLES.flatMap((style) => DELIVERIES.map((delivery) => ({ style, delivery })));
      const checkNext = async (): Promise<void> => {
        for (let next = cases.shift(); next !== undefined; next = cases.shift()) {
          const { style, delivery } = next;
          const copy = copyProcess(loadFixture(name), style);
          try {
            await replay(stack.ingest.url, delivery.arrange(copy.requests));
            await checkCopy(lake, copy, style);
          } catch (error) {
            throw new Error(`${name}, ${style}, ${delivery.name}`, { cause: error });
          }
        }
      };
      await Promise.all(Array.from({ length: COPIES_AT_ONCE }, checkNext));
    });
  }
});

async function checkCopy(lake: LakeReader, copy: ProcessCopy, style: EnvelopeStyle): Promise<void> {
  const { fixture, processId } = copy;
  const expectation = new Expectation(copy, style);
  for (const [table, sql] of Object.entries(TABLES)) {
    expectation.check(table, await lake.sql(sql, [processId]));
  }
  for (const view of ['log_entries', 'measures', 'async_events']) {
    expectation.check(view, await lake.rows(view, processId));
  }
  for (const stream of fixture.expectedThreadSpanStreams()) {
    const rows = await lake.rows('thread_spans', copy.idOf(stream));
    expectation.check(`thread_spans.${stream}`, rows);
  }
}

/** The tables under the names that the reference gives their columns; times in nanoseconds. */
const TABLES = {
  processes: `SELECT process_id, exe, username, realname, computer, distro, cpu_brand, tsc_frequency,
      unix_us(start_time) * 1000 AS start_time, start_ticks,
      coalesce(parent_process_id::text, '') AS parent_process_id, properties
    FROM processes WHERE process_id = $1`,
  streams: `SELECT stream_id, process_id, tags, properties FROM streams WHERE process_id = $1`,
  blocks: `SELECT block_id, stream_id, blocks.process_id, unix_us(begin_time) * 1000 AS begin_time,
      begin_ticks, unix_us(end_time) * 1000 AS end_time, end_ticks, nb_objects, object_offset,
      payload_size, tags AS "streams.tags"
    FROM blocks JOIN streams USING (stream_id) WHERE blocks.process_id = $1`,
};

const EVENT_TIMES = new Set(['time', 'begin', 'end']);
const ENVELOPE_TIMES = new Set(['start_time', 'begin_time', 'end_time']);
const IDS = new Set(['process_id', 'stream_id', 'block_id']);

/** The rows of the reference as a copy of the recording must give them. */
class Expectation {
  readonly #copy: ProcessCopy;
  readonly #isInMilliseconds: boolean;
  readonly #isFrequencyKnown: boolean;
  readonly #startNs: bigint;
  /** What the style's coarser start time moves every event by. */
  readonly #shiftNs: bigint;

  constructor(copy: ProcessCopy, style: EnvelopeStyle) {
    const process = firstRecord(copy.fixture, 'processes');
    this.#copy = copy;
    this.#isInMilliseconds = style === 'unreal';
    this.#isFrequencyKnown = process('tsc_frequency') !== '0';
    this.#startNs = BigInt(process('start_time'));
    this.#shiftNs = this.#isInMilliseconds ? this.#startNs % NS_PER_MS : 0n;
  }

  check(table: string, rows: readonly LakeRow[]): void {
    const { header, rows: recorded } = this.#copy.fixture.expected(table);
    const wanted = recorded.map((cells) =>
      header.map((column, at) => this.#wantedCell(column, cells[at] ?? '')),
    );
    const actual = rows.map((row) => header.map((column) => cellText(column, row[column])));
    const isEstimated = !this.#isFrequencyKnown && header.some((name) => EVENT_TIMES.has(name));
    if (isEstimated) this.#checkEstimated(table, header, { actual, wanted });
    else assert.deepEqual(sortedTexts(actual), sortedTexts(wanted), table);
  }

  #wantedCell(column: string, cell: string): string {
    if (IDS.has(column)) return this.#copy.idOf(cell);
    if (EVENT_TIMES.has(column)) return String(BigInt(cell) - this.#shiftNs);
    if (this.#isInMilliseconds && ENVELOPE_TIMES.has(column))
      return String(BigInt(cell) - (BigInt(cell) % NS_PER_MS));
    return cellText(column, cell);
  }

  /** Everything but times is equal in the order of each stream; times are near. */
  #checkEstimated(
    table: string,
    header: readonly string[],
    { actual, wanted }: Readonly<Record<'actual' | 'wanted', string[][]>>,
  ): void {
    const isTime = header.map((name) => EVENT_TIMES.has(name) || name === 'duration');
    const inOrder = (rows: string[][]) =>
      rows
        .map((cells) => ({
          stream: cells[header.indexOf('stream_id')] ?? '',
          times: cells.filter((_, at) => EVENT_TIMES.has(header[at] ?? '')).map(BigInt),
          rest: cells.filter((_, at) => !isTime[at]),
        }))
        .sort((a, b) => compare(a.stream, b.stream) || compare(a.times[0], b.times[0]));
    const [ours, theirs] = [inOrder(actual), inOrder(wanted)];
    assert.deepEqual(
      ours.map(({ rest }) => rest),
      theirs.map(({ rest }) => rest),
      table,
    );
    for (const [index, { times }] of ours.entries()) {
      for (const [at, time] of times.entries()) {
        const want = theirs[index]?.times[at] ?? 0n;
        const sinceStartNs = Math.abs(Number(want + this.#shiftNs - this.#startNs));
        // Times of blocks in whole milliseconds move the estimate itself.
        const coarseNs = this.#isInMilliseconds ? Number(NS_PER_MS) : 0;
        const errorNs = Math.abs(Number(time - want));
        assert.ok(errorNs <= sinceStartNs / 100 + coarseNs, `${table}: ${errorNs} ns off`);
      }
    }
  }
}

function firstRecord(fixture: NativeFixture, table: string): (column: string) => string {
  const { header, rows } = fixture.expected(table);
  return (column) => rows[0]?.[header.indexOf(column)] ?? '';
}

/** One text for one value, whichever side it comes from. */
function cellText(column: string, value: unknown): string {
  if (column.endsWith('properties')) {
    const properties = typeof value === 'string' ? JSON.parse(value) : value;
    return JSON.stringify(Object.entries(properties).sort(([a], [b]) => compare(a, b)));
  }
  if (column === 'value') return String(Number(value));
  if (Array.isArray(value)) return `[${value.map((item) => `'${item}'`).join(', ')}]`;
  return String(value);
}

function sortedTexts(rows: readonly string[][]): string[] {
  return rows.map((cells) => cells.join('|')).sort();
}

function compare<Value extends string | bigint>(a: Value | undefined, b: Value | undefined) {
  if (a === undefined || b === undefined || a === b) return 0;
  return a < b ? -1 : 1;
}
