/**
 * Texts of spans read once per distinct scope instead of once per row: the scan carries a number for each
 * row, and the dictionary says which scope has that number. The number is the `hash` column, unless two
 * scopes of these rows share one; then it is a wider hash that DuckDB computes from the texts.
 */

import { randomInt } from 'node:crypto';
import { DuckDBBlobValue, type DuckDBValue } from '@duckdb/node-api';
import { ParquetError } from './parquet-error.ts';
import type { ColumnChunk, ParquetReader, QueryOptions } from './parquet-reading.ts';

const WIDE_HASH_ATTEMPTS = 4;

/** Clients choose the hashes, so where they stand is different in each process; it decides no result. */
const SEED = randomInt(2 ** 32 - 1) | 0;

/** Where spans are written down in the program. */
export interface ScopeText {
  readonly name: string;
  readonly target: string;
  readonly filename: string;
  readonly line: number;
}

export class ScopeDictionary {
  /** In no order that means anything; a row's code is its index here. */
  readonly scopes: readonly ScopeText[];
  /** The SQL expression for the number that a row's scope is known by. */
  readonly keyColumn: string;
  /** True where that is the `hash` column. */
  readonly isByHash: boolean;
  readonly #codes: CodeTable;

  private constructor(rows: readonly ScopeRow[], keyColumn: string, isByHash: boolean) {
    this.scopes = rows.map((row) => row.scope);
    this.keyColumn = keyColumn;
    this.isByHash = isByHash;
    this.#codes = new CodeTable(rows.map((row) => row.key));
  }

  /** Collects the scopes of the rows of `source`, an SQL relation with an optional WHERE. */
  static async collect(
    reader: ParquetReader,
    source: string,
    options: QueryOptions = {},
  ): Promise<ScopeDictionary> {
    const byHash = await collectRows(reader, source, 'hash', options);
    if (hasDistinctKeys(byHash)) return new ScopeDictionary(byHash, 'hash', true);
    for (let salt = 0; salt < WIDE_HASH_ATTEMPTS; salt += 1) {
      // 53 bits, so that the number is exact as a double.
      const wide = `CAST(hash(name, target, filename, line, ${salt}) >> 11 AS DOUBLE)`;
      const rows = await collectRows(reader, source, wide, options);
      if (hasDistinctKeys(rows)) return new ScopeDictionary(rows, wide, false);
    }
    throw new ParquetError('parquet.read-failed', 'cannot tell the scopes of these files apart', {
      details: { scopeCount: byHash.length },
    });
  }

  /** The scope code of each row, from the column that holds `keyColumn`. */
  codesOf(chunk: ColumnChunk, column: number): Uint32Array {
    const keys = this.isByHash ? chunk.uint32(column) : chunk.float64(column);
    const codes = new Uint32Array(chunk.rowCount);
    let lastKey = Number.NaN;
    let lastCode = 0;
    for (let row = 0; row < codes.length; row += 1) {
      const key = keys[row] ?? 0;
      if (key !== lastKey) {
        lastCode = this.#codes.of(key);
        lastKey = key;
      }
      codes[row] = lastCode;
    }
    return codes;
  }
}

/** Codes by key: a table of open addressing, at most half full. */
class CodeTable {
  readonly #keys: Float64Array;
  /** Code plus one; 0 is free. */
  readonly #codes: Uint32Array;
  readonly #mask: number;

  constructor(keys: readonly number[]) {
    let size = 16;
    while (size < keys.length * 2) size *= 2;
    this.#mask = size - 1;
    this.#keys = new Float64Array(size);
    this.#codes = new Uint32Array(size);
    for (const [code, key] of keys.entries()) {
      let slot = this.#homeOf(key);
      while (this.#codes[slot] !== 0) slot = (slot + 1) & this.#mask;
      this.#keys[slot] = key;
      this.#codes[slot] = code + 1;
    }
  }

  of(key: number): number {
    let slot = this.#homeOf(key);
    for (;;) {
      const code = this.#codes[slot] ?? 0;
      if (code === 0) return unknownScope(key);
      if (this.#keys[slot] === key) return code - 1;
      slot = (slot + 1) & this.#mask;
    }
  }

  #homeOf(key: number): number {
    const mixed = Math.imul((key | 0) ^ SEED, 0x9e37_79b1);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }
}

interface ScopeRow {
  readonly key: number;
  readonly scope: ScopeText;
}

async function collectRows(
  reader: ParquetReader,
  source: string,
  keyColumn: string,
  options: QueryOptions,
): Promise<ScopeRow[]> {
  const sql = `SELECT key, encode(name), encode(target), encode(filename), line FROM
    (SELECT ${keyColumn} AS key, name, target, filename, line FROM ${source} GROUP BY ALL)`;
  const rows = await reader.rows(sql, options);
  return rows.map(([key, name, target, filename, line]) => ({
    key: Number(key),
    scope: {
      name: textOf(name),
      target: textOf(target),
      filename: textOf(filename),
      line: Number(line),
    },
  }));
}

/** The binding takes a byte order mark off the start of a text, so texts are read as the bytes they are. */
const exactUtf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function textOf(value: DuckDBValue | undefined): string {
  return value instanceof DuckDBBlobValue ? exactUtf8.decode(value.bytes) : '';
}

function hasDistinctKeys(rows: readonly ScopeRow[]): boolean {
  return new Set(rows.map((row) => row.key)).size === rows.length;
}

function unknownScope(key: number): never {
  throw new ParquetError('parquet.read-failed', 'a row has a scope that its file did not list', {
    details: { key },
  });
}
