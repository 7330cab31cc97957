import type { LakeCatalog } from './lake-catalog.ts';
import { explainedStatement, parseSerialised } from './serialised-statement.ts';
import { SqlError } from './sql-error.ts';
import { type Analysis, analyseStatement } from './statement-analysis.ts';

export interface SqlAnalysis extends Analysis {
  /** The statement is explained and not run; `rewritten` is what stands after EXPLAIN. */
  readonly explain: boolean;
}

/**
 * Analyses the text of a statement; `serialise` runs `SERIALISE_SQL` on the engine.
 *
 * The parser does not serialise EXPLAIN. It is one when the parser takes the whole text for a statement of
 * another kind than SELECT, the text begins with the word and the parser takes the rest for a SELECT.
 * Errors: those of `analyseStatement`.
 */
export async function analyseSql(
  sql: string,
  catalog: LakeCatalog,
  serialise: (sql: string) => Promise<string>,
): Promise<SqlAnalysis> {
  try {
    return {
      ...analyseStatement(parseSerialised(await serialise(sql)), catalog),
      explain: false,
    };
  } catch (error) {
    const explained = explainedStatement(sql);
    if (!isNotASelect(error) || explained === undefined) throw error;
    if (/^[\s]*(analyze|analyse|\()/i.test(explained))
      throw new SqlError(
        'sql.unsupported',
        'EXPLAIN has no ANALYZE and no options here: it tells what a query would read, and runs nothing',
      );
    return {
      ...analyseStatement(parseSerialised(await serialise(explained)), catalog),
      explain: true,
    };
  }
}

function isNotASelect(error: unknown): boolean {
  return error instanceof SqlError && error.code === 'sql.not-a-select';
}
