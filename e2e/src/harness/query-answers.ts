/** Questions to the query service, and its answers in every format as one table of texts. */

import { parseRfc3339 } from '@tracelake/domain';
import { parseCsv } from '@tracelake/test-kit';
import { type Data, DataType, tableFromIPC, type Vector } from 'apache-arrow';

export const answerFormats = ['csv', 'json', 'arrow', 'ndjson'] as const;
export type AnswerFormat = (typeof answerFormats)[number];

const MEDIA_TYPES: Readonly<Record<AnswerFormat, string>> = {
  csv: 'text/csv',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  arrow: 'application/vnd.apache.arrow.stream',
};

export interface QueryMembers {
  readonly sql: string;
  readonly params?: readonly unknown[];
  readonly begin?: string;
  readonly end?: string;
  readonly receipt?: boolean;
}

/** Times are nanoseconds since the epoch; a null is the empty text. */
export interface AnswerTable {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export async function postQuery(
  baseUrl: string,
  query: QueryMembers,
  format: AnswerFormat,
): Promise<Response> {
  const response = await fetch(`${baseUrl}/v1/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: MEDIA_TYPES[format] },
    body: JSON.stringify(query),
    signal: AbortSignal.timeout(150_000),
  });
  if (!response.ok) throw new Error(`${query.sql}: ${response.status} ${await response.text()}`);
  return response;
}

/** The rows of an answer as objects, read from JSON. */
export async function queryRows(
  baseUrl: string,
  sql: string,
  params: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const response = await postQuery(baseUrl, { sql, params }, 'json');
  return (await response.json()) as Record<string, unknown>[];
}

/** Reads a whole answer with a reader of its format that is not the service's own. */
export function readAnswer(bytes: Uint8Array, format: AnswerFormat): AnswerTable {
  if (format === 'arrow') return readArrow(bytes);
  const text = Buffer.from(bytes).toString('utf8');
  if (format === 'csv') {
    const [header = [], ...rows] = parseCsv(text);
    return { header, rows: rows.map((cells) => cells.map(cellText)) };
  }
  const objects =
    format === 'json'
      ? (JSON.parse(text) as object[])
      : text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line) as object);
  return {
    header: Object.keys(objects[0] ?? {}),
    rows: objects.map((row) => Object.values(row).map(cellText)),
  };
}

/** One text for one value, however a format writes it. */
function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'object') return JSON.stringify(value);
  const text = String(value);
  if (!/^\d{4}-\d\d-\d\dT.*Z$/.test(text)) return text;
  return String(parseRfc3339(text) ?? text);
}

function readArrow(bytes: Uint8Array): AnswerTable {
  const table = tableFromIPC(bytes);
  const columns = table.schema.fields.map((_field, index) => {
    const column = table.getChildAt(index);
    return column === null ? [] : columnTexts(column);
  });
  return {
    header: table.schema.fields.map(({ name }) => name),
    rows: Array.from({ length: table.numRows }, (_, row) =>
      columns.map((cells) => cells[row] ?? ''),
    ),
  };
}

function columnTexts(column: Vector): string[] {
  if (DataType.isTimestamp(column.type)) return column.data.flatMap(timestampTexts);
  return Array.from({ length: column.length }, (_, row) => {
    const value: unknown = column.get(row);
    return cellText(
      DataType.isList(column.type) && value !== null ? [...(value as Vector)] : value,
    );
  });
}

/** The vectors of apache-arrow give times as milliseconds; their buffers have all the digits. */
function timestampTexts(data: Data): string[] {
  const values = data.values as BigInt64Array;
  return Array.from({ length: data.length }, (_, row) =>
    data.getValid(row) ? String(values[row]) : '',
  );
}
