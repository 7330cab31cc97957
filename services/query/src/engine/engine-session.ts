/**
 * The life of one statement inside a child: a DuckDB instance of its own, which is locked down before
 * anything of a stranger's is bound or run, and which serves no other.
 */

import {
  type DuckDBConnection,
  DuckDBInstance,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  StatementType,
} from '@duckdb/node-api';
import { ensureExists } from '@tracelake/domain';
import { lakeMacros, quoteText } from '@tracelake/sql';
import { EngineError } from './engine-error.ts';
import { createTablesSql, filesOf } from './lake-tables.ts';
import type { EngineSettings, QueryParameter, RunRequest, StatementSources } from './protocol.ts';
import { type ReadStatement, readStatement } from './statement-reading.ts';

/** Read once by an instance: what it loads, compiles and prepares is then no part of anybody's wait. */
const WARM_UP_SQL = `
  SELECT level, count(*) AS entries
  FROM view_instance('log_entries', '00000000-0000-7000-8000-000000000000')
  WHERE level > 0 GROUP BY level ORDER BY level LIMIT 10`;

export class EngineSession {
  /** For whoever must keep it from being collected. */
  readonly instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  /** Of ours, which every statement needs: prepared while the process waits for one. */
  readonly #prepared = new Map<string, DuckDBPreparedStatement>();
  #statement: ReadStatement | undefined;
  #running: DuckDBPreparedStatement | undefined;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.instance = instance;
    this.#connection = connection;
  }

  static async open(settings: EngineSettings): Promise<EngineSession> {
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(settings.threads),
      memory_limit: `${Math.floor(settings.memoryBytes / 1024)}KiB`,
      temp_directory: settings.tempDir,
      max_temp_directory_size: `${Math.floor(settings.tempBytesMax / 1024)}KiB`,
      max_expression_depth: String(settings.expressionDepthMax),
      // Files are read once: a cache of their bytes would only fill the memory.
      enable_external_file_cache: 'false',
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      allow_community_extensions: 'false',
      allow_persistent_secrets: 'false',
    });
    const connection = await instance.connect();
    await connection.run(
      ["SET TimeZone = 'UTC'", 'CREATE SCHEMA lake', ...lakeMacros()].join(';\n'),
    );
    const session = new EngineSession(instance, connection);
    await session.analyse(WARM_UP_SQL);
    await session.#statement?.sql;
    return session;
  }

  async analyse(sql: string): Promise<StatementSources> {
    this.#statement = await readStatement(sql, (query, text) => this.#ask(query, text));
    const { explain, sources } = this.#statement;
    return { explain, sources };
  }

  /** Defines the tables, locks the instance and starts the statement that was analysed. */
  async start(request: RunRequest): Promise<DuckDBResult> {
    const statement = ensureExists(this.#statement, 'analysed statement');
    const { sql } = statement;
    if (sql === undefined) {
      throw new EngineError('query.engine-failed', 'an explained statement is not run');
    }
    const own = [...createTablesSql(request, statement), ...lockSql(filesOf(request.tables))];
    await this.#connection.run(own.join('\n;\n'));
    const extracted = await this.#connection.extractStatements(await sql);
    if (extracted.count !== 1) {
      throw new EngineError('query.several-statements', 'one statement at a time');
    }
    const prepared = await extracted.prepare(0);
    if (prepared.statementType !== StatementType.SELECT) {
      throw new EngineError('query.not-a-select', 'only SELECT is allowed');
    }
    bindParameters(prepared, request.params);
    this.#running = prepared;
    return await prepared.stream();
  }

  /**
   * Throws unless the statement came to its own end: DuckDB's API ends a streamed result that failed as it
   * ends a whole one, and keeps the reason to itself. Before any row was given it is run again for its reason.
   */
  async confirmEnd(rowsGiven: number): Promise<void> {
    try {
      await this.#connection.run('SELECT 1');
    } catch (cause) {
      if (rowsGiven === 0) await this.#runForItsError();
      throw new EngineError(
        'query.failed',
        'the statement failed on a row beyond those already sent: a cast, a function or memory gave out',
        { cause },
      );
    }
  }

  async #runForItsError(): Promise<void> {
    await this.#connection.run('ROLLBACK');
    await this.#running?.run();
  }

  interrupt(): void {
    this.#connection.interrupt();
  }

  /** Lets go of what the statement held. The instance is left without a connection: nothing can reach it. */
  close(): void {
    this.#statement = undefined;
    this.#running = undefined;
    for (const prepared of this.#prepared.values()) prepared.destroySync();
    this.#prepared.clear();
    this.#connection.closeSync();
  }

  async #ask(sql: string, parameter: string): Promise<string> {
    const prepared = await this.#prepare(sql);
    prepared.bindVarchar(1, parameter);
    const reader = await prepared.runAndReadAll();
    return String(reader.getRows()[0]?.[0]);
  }

  async #prepare(sql: string): Promise<DuckDBPreparedStatement> {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const prepared = await this.#connection.prepare(sql);
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/**
 * From here on no setting changes and no file opens but those of the statement's own tables. An error in the
 * middle of a streamed result shows only in what it does to its transaction.
 */
function lockSql(files: readonly string[]): string[] {
  return [
    `SET allowed_paths = [${files.map(quoteText).join(', ')}]`,
    'SET enable_external_access = false',
    'SET lock_configuration = true',
    'BEGIN TRANSACTION READ ONLY',
  ];
}

function bindParameters(
  prepared: DuckDBPreparedStatement,
  params: readonly QueryParameter[],
): void {
  if (prepared.parameterCount !== params.length) {
    throw new EngineError(
      'query.bad-parameter',
      `the statement has ${prepared.parameterCount} parameters, ${params.length} were given`,
    );
  }
  params.forEach((_value, index) => {
    const name = prepared.parameterName(index + 1);
    const position = Number(name);
    if (!Number.isInteger(position) || position < 1 || position > params.length) {
      throw new EngineError('query.bad-parameter', `parameters are $1, $2, …, not $${name}`);
    }
  });
  params.forEach((value, index) => {
    bindParameter(prepared, index + 1, value);
  });
}

function bindParameter(
  prepared: DuckDBPreparedStatement,
  position: number,
  value: QueryParameter,
): void {
  if (value === null) prepared.bindNull(position);
  else if (typeof value === 'string') prepared.bindVarchar(position, value);
  else if (typeof value === 'boolean') prepared.bindBoolean(position, value);
  else if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    prepared.bindDouble(position, value);
  } else {
    const integer = BigInt(value);
    if (BigInt.asIntN(64, integer) === integer) prepared.bindBigInt(position, integer);
    else prepared.bindHugeInt(position, integer);
  }
}
