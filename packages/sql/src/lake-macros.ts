/** Functions of the lake that SQL written for the reference calls, as macros of the engine. */

import { readFileSync } from 'node:fs';

const FILES = ['properties', 'jsonb', 'histograms', 'numbers'];

const STATEMENTS: readonly string[] = FILES.flatMap((file) =>
  readFileSync(new URL(`./macros/${file}.sql`, import.meta.url), 'utf8')
    .replace(/^--.*\n/gm, '')
    .split(/;\s*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== ''),
);

/** CREATE MACRO statements, to be run in order before the engine is locked down. */
export function lakeMacros(): string[] {
  return [...STATEMENTS];
}

/** Macros that stand where a value does, by lower-case name. */
export const LAKE_MACRO_NAMES: ReadonlySet<string> = namesOf(false);

/** Macros that stand where a table does, by lower-case name. */
export const LAKE_TABLE_MACRO_NAMES: ReadonlySet<string> = namesOf(true);

function namesOf(table: boolean): Set<string> {
  const names = new Set<string>();
  for (const statement of STATEMENTS) {
    const [, name, kind] = /^CREATE MACRO (\w+)\([^)]*\) AS( TABLE)?/.exec(statement) ?? [];
    if (name !== undefined && (kind !== undefined) === table) names.add(name);
  }
  return names;
}
