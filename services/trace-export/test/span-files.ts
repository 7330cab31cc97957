/** Partitions for tests: rows of spans written to Parquet as the materializer writes them. */

import { join } from 'node:path';
import {
  nanoseconds,
  type ProcessId,
  type ProcessInfo,
  type StreamId,
  ticks,
} from '@tracelake/domain';
import type { ReadableObjects } from '@tracelake/lake-reading';
import type { Column, ColumnDefinition } from '@tracelake/lakehouse';
import { writeParquet } from '@tracelake/parquet';
import { rangeOf } from '../src/export-request.ts';
import type { PartitionFile, TracePlan } from '../src/trace-plan.ts';

export const START_NS = 1_795_230_665_835_080_000n;

export const PROCESS_ID = '6a08e488-07e0-4ce6-80ec-c38b5dee8521' as ProcessId;

export interface ThreadRow {
  readonly id: number;
  readonly parent: number;
  readonly depth: number;
  /** Nanoseconds after `START_NS`, and `end` likewise. */
  readonly begin: number;
  readonly end: number;
  readonly name: string;
  readonly open?: boolean;
}

export interface AsyncRow {
  readonly time: number;
  readonly kind: 'begin' | 'end';
  readonly id: number;
  readonly parent: number;
  readonly depth?: number;
  readonly name: string;
}

const THREAD_COLUMNS: ColumnDefinition[] = [
  { name: 'id', type: 'i64' },
  { name: 'parent', type: 'i64' },
  { name: 'depth', type: 'u32' },
  { name: 'begin', type: 'timestamp' },
  { name: 'end', type: 'timestamp' },
  { name: 'open', type: 'bool' },
  { name: 'hash', type: 'u32' },
  { name: 'line', type: 'u32' },
  { name: 'name', type: 'string' },
  { name: 'target', type: 'string' },
  { name: 'filename', type: 'string' },
];

const ASYNC_COLUMNS: ColumnDefinition[] = [
  { name: 'time', type: 'timestamp' },
  { name: 'event_type', type: 'string' },
  { name: 'span_id', type: 'i64' },
  { name: 'parent_span_id', type: 'i64' },
  { name: 'depth', type: 'u32' },
  { name: 'hash', type: 'u32' },
  { name: 'line', type: 'u32' },
  { name: 'name', type: 'string' },
  { name: 'target', type: 'string' },
  { name: 'filename', type: 'string' },
];

/** Writes partitions into one directory, which then serves as the object store. */
export class SpanFiles {
  readonly directory: string;
  #count = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  get objects(): ReadableObjects {
    return {
      localPath: (key) => join(this.directory, key),
      getToFile: () => Promise.reject(new Error('read in place')),
    };
  }

  /** Rows in order of (begin, id). */
  async writeThread(rows: readonly ThreadRow[]): Promise<PartitionFile> {
    const at = (offset: number) => START_NS + BigInt(offset);
    return await this.#write(THREAD_COLUMNS, rows.length, rows[0]?.begin ?? 0, [
      { type: 'i64', values: BigInt64Array.from(rows, (row) => BigInt(row.id)) },
      { type: 'i64', values: BigInt64Array.from(rows, (row) => BigInt(row.parent)) },
      { type: 'u32', values: Uint32Array.from(rows, (row) => row.depth) },
      { type: 'timestamp', values: BigInt64Array.from(rows, (row) => at(row.begin)) },
      { type: 'timestamp', values: BigInt64Array.from(rows, (row) => at(row.end)) },
      { type: 'bool', values: Uint8Array.from(rows, (row) => Number(row.open ?? false)) },
      ...scopeColumns(rows.map((row) => row.name)),
    ]);
  }

  /** Rows in any order; the file has them in order of time. */
  async writeAsync(events: readonly AsyncRow[]): Promise<PartitionFile> {
    const rows = events.toSorted((a, b) => a.time - b.time);
    const at = (offset: number) => START_NS + BigInt(offset);
    return await this.#write(ASYNC_COLUMNS, rows.length, rows[0]?.time ?? 0, [
      { type: 'timestamp', values: BigInt64Array.from(rows, (row) => at(row.time)) },
      {
        type: 'string',
        codes: Uint32Array.from(rows, (row) => Number(row.kind === 'end')),
        dictionary: ['begin', 'end'],
      },
      { type: 'i64', values: BigInt64Array.from(rows, (row) => BigInt(row.id)) },
      { type: 'i64', values: BigInt64Array.from(rows, (row) => BigInt(row.parent)) },
      { type: 'u32', values: Uint32Array.from(rows, (row) => row.depth ?? 0) },
      ...scopeColumns(rows.map((row) => row.name)),
    ]);
  }

  async #write(
    columns: ColumnDefinition[],
    rowCount: number,
    firstBegin: number,
    data: Column[],
  ): Promise<PartitionFile> {
    const objectKey = `partition-${this.#count++}.parquet`;
    const path = join(this.directory, objectKey);
    await writeParquet({ path, columns, rows: { rowCount, columns: data }, metadata: {} });
    return { objectKey, minBeginNs: START_NS + BigInt(firstBegin) };
  }
}

/** hash, line, name, target and filename; a scope for each distinct name. */
function scopeColumns(names: readonly string[]): Column[] {
  const codeOf = new Map<string, number>();
  const codes = Uint32Array.from(names, (name) => {
    const code = codeOf.get(name) ?? codeOf.size;
    codeOf.set(name, code);
    return code;
  });
  return [
    { type: 'u32', values: Uint32Array.from(names, scopeNumber) },
    { type: 'u32', values: Uint32Array.from(names, scopeNumber) },
    { type: 'string', codes, dictionary: [...codeOf.keys()] },
    { type: 'string', codes: new Uint32Array(names.length), dictionary: ['target'] },
    { type: 'string', codes: new Uint32Array(names.length), dictionary: ['file.rs'] },
  ];
}

/** Stands for both hash and line: a function of the name alone. */
export function scopeNumber(name: string): number {
  let number = 0;
  for (const character of name) number = (number * 31 + character.charCodeAt(0)) >>> 0;
  return number;
}

export function sampleProcess(): ProcessInfo {
  return {
    processId: PROCESS_ID,
    exe: '/opt/games/sample-app',
    username: 'dev',
    realname: 'Dev',
    computer: 'build-host',
    distro: 'Debian',
    cpuBrand: 'CPU',
    tscFrequencyHz: 2_500_000_000n,
    startNs: nanoseconds(START_NS),
    startTicks: ticks(0n),
    parentProcessId: undefined,
    properties: { version: '1' },
  };
}

export function streamId(index: number): StreamId {
  return `8a2e5742-87b8-48fc-8472-${String(index).padStart(12, '0')}` as StreamId;
}

export interface SamplePlan {
  readonly threads?: readonly (readonly PartitionFile[])[];
  readonly asyncFiles?: readonly PartitionFile[];
  readonly openEnd?: number;
  readonly range?: { readonly begin: number; readonly end: number };
}

export function samplePlan(sample: SamplePlan): TracePlan {
  const at = (offset: number) => nanoseconds(START_NS + BigInt(offset));
  const range =
    sample.range === undefined
      ? rangeOf({ beginNs: undefined, endNs: undefined })
      : rangeOf({ beginNs: at(sample.range.begin), endNs: at(sample.range.end) });
  return {
    process: sampleProcess(),
    range,
    spans: 'both',
    threads: (sample.threads ?? []).map((files, index) => ({
      streamId: streamId(index),
      name: `thread-${index}`,
      threadId: String(100 + index),
      files,
    })),
    asyncFiles: sample.asyncFiles ?? [],
    openEndNs: at(sample.openEnd ?? 0),
    blocks: { known: 1, read: 1, rejected: 0 },
    sourceHash: 'hash',
  };
}
