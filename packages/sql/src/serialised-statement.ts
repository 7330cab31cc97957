/**
 * A statement as the engine's own parser gives it (`json_serialize_sql`) and takes it back
 * (`json_deserialize_sql`). The parser serialises SELECT only, which includes FROM-first, VALUES, TABLE,
 * DESCRIBE, SUMMARIZE, UNPIVOT and PIVOT with listed values.
 */

import { SqlError } from './sql-error.ts';

/** Takes the statement as its one parameter, gives JSON text or JSON that tells the error. */
export const SERIALISE_SQL = 'SELECT json_serialize_sql($1::VARCHAR)';

/** Takes the JSON text of a statement as its one parameter, gives SQL text. */
export const DESERIALISE_SQL = 'SELECT json_deserialize_sql($1::VARCHAR::JSON)';

/** What the engine of this runtime has beside the types: numbers kept as they are written. */
interface ExactJson {
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): boolean;
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
}
const exactJson = JSON as unknown as ExactJson;

export type SerialisedObject = { readonly [key: string]: unknown };

export function isSerialisedObject(value: unknown): value is SerialisedObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !exactJson.isRawJSON(value)
  );
}

/**
 * Reads the parser's JSON. Numbers that a double cannot tell apart (64-bit and 128-bit literals) are kept as
 * they are written. Errors: `sql.unsupported` when the JSON has none of its own (a literal beyond a double's range).
 */
export function parseSerialised(json: string): unknown {
  try {
    return exactJson.parse(json, (_key, value, context) =>
      typeof value === 'number' && context.source !== undefined && String(value) !== context.source
        ? exactJson.rawJSON(context.source)
        : value,
    );
  } catch (cause) {
    throw new SqlError(
      'sql.unsupported',
      'the statement has a number that is out of range, or is nested too deeply',
      { cause },
    );
  }
}

/** The JSON text of what `parseSerialised` gave, rewritten or not; numbers are exact. */
export function formatSerialised(serialised: unknown): string {
  return JSON.stringify(serialised);
}

/**
 * What follows a leading EXPLAIN, or nothing when the text begins with another word. It is an explained
 * SELECT only if the parser takes the whole as a statement and the rest as a SELECT.
 */
export function explainedStatement(sql: string): string | undefined {
  const rest = sql.slice(leadingBlankLength(sql));
  return /^explain(?![\p{L}\p{N}_$"])/iu.test(rest) ? rest.slice('explain'.length) : undefined;
}

/** Characters of white space, comments (block comments nest) and empty statements in front. */
function leadingBlankLength(sql: string): number {
  let at = 0;
  for (;;) {
    const blank = /^(?:\s|;|--[^\n]*(?:\n|$))+/u.exec(sql.slice(at))?.[0].length ?? 0;
    at += blank;
    const comment = sql.startsWith('/*', at) ? blockCommentLength(sql, at) : 0;
    if (comment === 0) return at;
    at += comment;
  }
}

function blockCommentLength(sql: string, start: number): number {
  let depth = 0;
  const marks = /\/\*|\*\//g;
  marks.lastIndex = start;
  for (let mark = marks.exec(sql); mark !== null; mark = marks.exec(sql)) {
    depth += mark[0] === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex - start;
  }
  return 0;
}
