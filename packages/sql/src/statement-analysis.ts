/**
 * Reads a statement as the engine's parser serialised it: finds what it reads, refuses what it may not,
 * and gives it back with every table in its place.
 *
 * It fails closed. Each object of the tree must be of a kind that is known; each table must be one of the
 * lake's or a common table expression in scope; each function must be allowed by name. Tables are
 * rewritten to `lake."<n>"` and common table expressions get names of their own, so a rewritten statement
 * names no table that the engine could find elsewhere, whatever its own rules of scope are.
 */

import { syntaxHint } from './dialect-hints.ts';
import type { LakeCatalog } from './lake-catalog.ts';
import { isSerialisedObject } from './serialised-statement.ts';
import type { SourceRef } from './source-ref.ts';
import { type DerivedTable, SourceTables } from './source-table.ts';
import { SqlError } from './sql-error.ts';
import { StatementRewriter } from './statement-rewriter.ts';

export type { DerivedTable } from './source-table.ts';

export interface Analysis {
  /** For `formatSerialised`, then the engine's `json_deserialize_sql`. */
  readonly rewritten: unknown;
  /** What the planner provides, each once. */
  readonly sources: readonly SourceRef[];
  /** What is then created over the sources, in this order. */
  readonly derived: readonly DerivedTable[];
}

/**
 * Analyses one SELECT. `serialised` is what `parseSerialised` gave.
 * Errors: `sql.syntax`, `sql.not-a-select`, `sql.several-statements`, `sql.unknown-table`,
 * `sql.function-refused`, `sql.bad-arguments`, `sql.unsupported`.
 */
export function analyseStatement(serialised: unknown, catalog: LakeCatalog): Analysis {
  const statement = onlyStatement(serialised);
  const tables = new SourceTables(catalog);
  const rewritten = rewrittenStatement(statement, tables);
  return {
    rewritten: { error: false, statements: [rewritten] },
    sources: tables.sources,
    derived: tables.derived,
  };
}

function rewrittenStatement(statement: unknown, tables: SourceTables): unknown {
  try {
    return new StatementRewriter(tables).rewrite(statement);
  } catch (error) {
    // The only range this code can leave is that of the stack.
    if (!(error instanceof RangeError)) throw error;
    throw new SqlError('sql.unsupported', 'the statement is nested too deeply', { cause: error });
  }
}

function onlyStatement(serialised: unknown): unknown {
  if (!isSerialisedObject(serialised)) throw notASelect();
  if (serialised.error === true) throw parserError(serialised);
  const { statements } = serialised;
  if (!Array.isArray(statements) || statements.length === 0)
    throw new SqlError('sql.not-a-select', 'there is no statement');
  if (statements.length > 1)
    throw new SqlError(
      'sql.several-statements',
      `there are ${statements.length} statements; a query is one`,
    );
  return statements[0];
}

function parserError(serialised: Readonly<Record<string, unknown>>): SqlError {
  const message = String(serialised.error_message);
  if (serialised.error_type === 'not implemented') {
    return /^Only SELECT/.test(message) ? notASelect() : new SqlError('sql.unsupported', message);
  }
  const position = Number(serialised.position);
  return new SqlError('sql.syntax', `${message}${syntaxHint(message)}`, {
    details: Number.isSafeInteger(position) ? { position } : {},
  });
}

function notASelect(): SqlError {
  return new SqlError(
    'sql.not-a-select',
    'a query is one statement that reads: SELECT, FROM, VALUES, DESCRIBE, SUMMARIZE, UNPIVOT, ' +
      "PIVOT with its values listed (ON x IN ('a', 'b')), or EXPLAIN before one of these",
  );
}
