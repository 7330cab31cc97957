import type { Queryable } from './database.ts';
import { fragment, type SqlStatement, sql } from './sql.ts';

/** Rows are asked for so that a batch has about this many bytes. */
const BATCH_BYTES = 1_000_000;
const FIRST_BATCH_ROWS = 4;
const BATCH_ROWS_MAX = 1000;

/**
 * Runs one statement and takes its rows in batches, so that a result of any length is never held: the server
 * keeps it. Only in a transaction, and one cursor at a time. `sizeOf` estimates the bytes of a row.
 */
export async function* readByCursor<Row>(
  transaction: Queryable,
  statement: SqlStatement,
  sizeOf: (row: Row) => number,
): AsyncGenerator<Row, void, void> {
  const { text, values } = statement;
  await transaction.query({ text: `DECLARE rows NO SCROLL CURSOR FOR ${text}`, values });
  let batchRows = FIRST_BATCH_ROWS;
  for (;;) {
    const rows = await transaction.query<Row>(sql`FETCH ${fragment(String(batchRows))} FROM rows`);
    let bytes = 1;
    for (const row of rows) {
      bytes += sizeOf(row);
      yield row;
    }
    if (rows.length < batchRows) break;
    const fitting = Math.floor((BATCH_BYTES * rows.length) / bytes);
    batchRows = Math.min(BATCH_ROWS_MAX, Math.max(1, fitting));
  }
  await transaction.query(sql`CLOSE rows`);
}
