/**
 * V8 compiles the encoders once it has seen some ten thousand rows, for each process anew: 30 to 60 ms on the one thread that an
 * answer waits for. So a process that is kept meets them before its next statement does.
 */

import {
  BIGINT,
  DOUBLE,
  DuckDBDataChunk,
  DuckDBTimestampNanosecondsValue,
  type DuckDBType,
  type DuckDBValue,
  INTEGER,
  TIMESTAMP_NS,
  VARCHAR,
} from '@duckdb/node-api';
import { freeCopies } from './column-memory.ts';
import { CsvEncoder } from './csv-encoding.ts';
import { JsonEncoder } from './json-encoding.ts';
import type { ResultColumn } from './result-columns.ts';

const ROWS = 2048;
/** Enough for the loops to be optimized; more is without use. */
const CHUNKS = 8;

/** What answers consist of: short and long texts, fractions, wide and narrow integers, times, and some of them missing. */
const COLUMNS: readonly (readonly [DuckDBType, (row: number) => DuckDBValue])[] = [
  [VARCHAR, (row) => `name ${row % 64}`],
  [VARCHAR, (row) => `entry ${row} of a log, as long as most of them`],
  [VARCHAR, (row) => (row % 8 === 0 ? null : `"quoted", ${row}`)],
  [DOUBLE, (row) => row / 7],
  [BIGINT, (row) => 1_700_000_000_000_000_000n + BigInt(row)],
  [INTEGER, (row) => row],
  [
    TIMESTAMP_NS,
    (row) => new DuckDBTimestampNanosecondsValue(1_700_000_000_123_456_789n + BigInt(row)),
  ],
];

/** Encodes rows of its own for nobody, giving way between chunks. */
export async function warmUpEncoders(): Promise<void> {
  const types = COLUMNS.map(([type]) => type);
  const chunk = DuckDBDataChunk.create(types, ROWS);
  const rows = Array.from({ length: ROWS }, (_, row) => row);
  for (const [index, [, valueAt]] of COLUMNS.entries()) {
    chunk.setColumnValues(index, rows.map(valueAt));
  }
  const columns: ResultColumn[] = types.map((type, index) => ({ name: `c${index}`, index, type }));
  for (const encoder of [new CsvEncoder(columns), new JsonEncoder(columns, 'lines')]) {
    for (let count = 0; count < CHUNKS; count++) {
      encoder.add(chunk);
      freeCopies();
      await new Promise(setImmediate);
    }
  }
}
