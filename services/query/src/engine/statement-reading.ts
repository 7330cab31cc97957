/** From a stranger's text to one checked SELECT over tables of the schema `lake`, by DuckDB's own parser. */

import { errorMessage } from '@tracelake/domain';
import { createViewRegistry } from '@tracelake/lakehouse';
import {
  analyseSql,
  createLakeCatalog,
  type DerivedTable,
  formatSerialised,
  lakeMacros,
  SERIALISE_SQL,
  SqlError,
} from '@tracelake/sql';
import { EngineError, type EngineErrorCode, findEngineErrorCode } from './engine-error.ts';
import type { StatementSources } from './protocol.ts';
import { checkRewritten } from './statement-guard.ts';

/** Runs one statement of ours with a text parameter and returns the only value of its only row. */
export type AskText = (sql: string, parameter: string) => Promise<string>;

export interface ReadStatement extends StatementSources {
  /** What is made from the sources, each from those before it. */
  readonly derived: readonly DerivedTable[];
  /** Of sources and derived tables, those that the statement itself reads. */
  readonly named: ReadonlySet<string>;
  /**
   * What is run: DuckDB's own printing of the checked tree, which goes on while the sources are made ready. Undefined for
   * a statement that is explained.
   */
  readonly sql: Promise<string> | undefined;
}

const catalog = createLakeCatalog(createViewRegistry());
const macroNames = new Set(
  lakeMacros().flatMap((sql) => /^CREATE MACRO (\w+)/.exec(sql)?.[1]?.toLowerCase() ?? []),
);

/** Throws an {@link EngineError} that says what is wrong with the statement. */
export async function readStatement(text: string, ask: AskText): Promise<ReadStatement> {
  // The parser would take what stands before it for the whole.
  if (text.includes('\0')) {
    throw new EngineError('query.syntax', 'the statement holds a NUL character');
  }
  try {
    const analysis = await analyseSql(text, catalog, (sql) => ask(SERIALISE_SQL, sql));
    const { explain, sources, derived, rewritten } = analysis;
    const known = [...sources, ...derived].map(({ table }) => table);
    const named = checkRewritten(rewritten, new Set(known), macroNames);
    const sql = explain ? undefined : print(rewritten, ask);
    // Met by whoever runs the statement.
    sql?.catch(() => undefined);
    return { explain, sources, derived, named, sql };
  } catch (error) {
    throw translated(error);
  }
}

async function print(checked: unknown, ask: AskText): Promise<string> {
  try {
    return await ask(PRINT_SQL, formatSerialised(keepDoubles(checked)));
  } catch (error) {
    throw translated(error);
  }
}

const PRINT_SQL = 'SELECT json_deserialize_sql($1::JSON)';

/** Errors of the analysis as this service's own. A tree too deep for the stack ends in a RangeError. */
function translated(error: unknown): unknown {
  const message = errorMessage(error);
  if (error instanceof RangeError || TOO_DEEP.test(message)) {
    const text = `the statement is nested too deeply: ${message.split('\n')[0]}`;
    return new EngineError('query.too-deep', text, { cause: error });
  }
  if (!(error instanceof SqlError)) return error;
  return new EngineError(codeOf(error), message, { cause: error });
}

const TOO_DEEP = /max expression depth|memory exhausted|nested too deeply/i;

function codeOf(error: SqlError): EngineErrorCode {
  return findEngineErrorCode(error.code.replace(/^sql\./, 'query.')) ?? 'query.failed';
}

/** DuckDB prints the double 1e10 as 10000000000.0, which it reads as a DECIMAL: a cast keeps it a double. */
function keepDoubles(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(keepDoubles);
  if (typeof node !== 'object' || node === null || isRawJson(node)) return node;
  const object: Record<string, unknown> = Object.fromEntries(
    Object.entries(node).map(([key, member]) => [key, keepDoubles(member)]),
  );
  const value = object.value as { type?: { id?: unknown } } | null | undefined;
  if (object.class !== 'CONSTANT' || value?.type?.id !== 'DOUBLE') return object;
  return {
    class: 'CAST',
    type: 'OPERATOR_CAST',
    alias: object.alias,
    query_location: object.query_location,
    child: { ...object, alias: '' },
    cast_type: { id: 'DOUBLE', type_info: null },
    try_cast: false,
  };
}

/** A number kept as it is written. */
function isRawJson(value: unknown): boolean {
  return (JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(value);
}
