/** What the lake holds, read as its users' own tools read it: Parquet with DuckDB, tables with a Postgres client. */

import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import pg from 'pg';
import type { ProcessStack } from './process-stack.ts';

/** A row by the names of its columns; times are nanoseconds since the epoch. */
export type LakeRow = Readonly<Record<string, unknown>>;

export interface Rejection {
  readonly block_id: string;
  readonly reason: string;
}

export class LakeReader implements AsyncDisposable {
  readonly #stack: ProcessStack;
  readonly #postgres: pg.Pool;
  readonly #duckdb: DuckDBConnection;

  private constructor(stack: ProcessStack, postgres: pg.Pool, duckdb: DuckDBConnection) {
    this.#stack = stack;
    this.#postgres = postgres;
    this.#duckdb = duckdb;
  }

  static async open(stack: ProcessStack): Promise<LakeReader> {
    const postgres = new pg.Pool({ connectionString: stack.databaseUrl, max: 3 });
    const duckdb = await (await DuckDBInstance.create(':memory:')).connect();
    return new LakeReader(stack, postgres, duckdb);
  }

  /** Builds what is missing of an instance and names what could not be decoded. */
  async materialize(view: string, instance: string): Promise<readonly Rejection[]> {
    const url = `${this.#stack.materializer.url}/v1/materialize/${view}/${instance}`;
    const response = await fetch(url, { method: 'POST' });
    const text = await response.text();
    if (!response.ok) throw new Error(`materialize ${view} ${instance}: ${text}`);
    return (JSON.parse(text) as { rejected: Rejection[] }).rejected;
  }

  /** Builds and reads an instance. */
  async rows(view: string, instance: string): Promise<LakeRow[]> {
    await this.materialize(view, instance);
    const url = `${this.#stack.materializer.url}/v1/partitions/${view}/${instance}`;
    const partitions = (await (await fetch(url)).json()) as { object_key: string | null }[];
    const files = partitions.flatMap(({ object_key }) =>
      object_key === null ? [] : `'${join(this.#stack.objectsDir, object_key)}'`,
    );
    if (files.length === 0) return [];
    const source = `read_parquet([${files.join(', ')}])`;
    const types = (await this.#duckdb.runAndReadAll(`DESCRIBE SELECT * FROM ${source}`))
      .getRowObjects()
      .map(({ column_name, column_type }) => ({ name: `"${column_name}"`, type: column_type }));
    const columns = types.map(({ name, type }) =>
      type === 'TIMESTAMP_NS' ? `epoch_ns(${name}) AS ${name}` : name,
    );
    const result = await this.#duckdb.runAndReadAll(`SELECT ${columns.join(', ')} FROM ${source}`);
    return result.getRowObjects();
  }

  async sql(text: string, values: readonly unknown[] = []): Promise<LakeRow[]> {
    return (await this.#postgres.query(text, [...values])).rows as LakeRow[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#duckdb.closeSync();
    await this.#postgres.end();
  }
}
