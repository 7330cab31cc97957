import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { ensureExists } from '@tracelake/domain';
import { createViewRegistry } from '@tracelake/lakehouse';
import {
  analyseSql,
  createLakeCatalog,
  formatSerialised,
  LAKE_SCHEMA,
  lakeMacros,
  SERIALISE_SQL,
  type SqlAnalysis,
} from '../src/index.ts';
import { DESERIALISE_SQL } from '../src/serialised-statement.ts';

export const catalog = createLakeCatalog(createViewRegistry());

/** An engine of its own with the lake's macros, as a query's process has it before its sources are there. */
export class SqlEngine implements AsyncDisposable {
  readonly #instance: DuckDBInstance;
  readonly connection: DuckDBConnection;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.connection = connection;
  }

  static async open(): Promise<SqlEngine> {
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
    const connection = await instance.connect();
    const engine = new SqlEngine(instance, connection);
    await connection.run(`SET TimeZone = 'UTC'; CREATE SCHEMA ${LAKE_SCHEMA}`);
    for (const macro of lakeMacros()) await connection.run(macro);
    return engine;
  }

  async text(sql: string, ...params: string[]): Promise<string> {
    const reader = await this.connection.runAndReadAll(sql, params);
    return String(ensureExists(reader.getRows()[0]?.[0], 'one value'));
  }

  serialise = (sql: string): Promise<string> => this.text(SERIALISE_SQL, sql);

  analyse(sql: string): Promise<SqlAnalysis> {
    return analyseSql(sql, catalog, this.serialise);
  }

  /** The statement that runs, as text. */
  async rewrite(sql: string): Promise<string> {
    const { rewritten } = await this.analyse(sql);
    return this.text(DESERIALISE_SQL, formatSerialised(rewritten));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.connection.closeSync();
    this.#instance.closeSync();
  }
}
