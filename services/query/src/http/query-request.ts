/** One request as it was sent, checked. Pure. */

import { formatRfc3339, type Nanoseconds, parseRfc3339 } from '@tracelake/domain';
import type { QueryParameter, ResultFormat } from '../engine/protocol.ts';
import type { QueryRange } from '../planning/source-selection.ts';
import { QueryError } from '../query-error.ts';

export interface QueryRequest {
  readonly sql: string;
  readonly params: readonly QueryParameter[];
  readonly range: QueryRange;
  readonly format: ResultFormat;
  /** The receipt is wanted in the body too, which only JSON has room for. */
  readonly wantsReceipt: boolean;
}

export interface RawRequest {
  /** Undefined for a request without a body. */
  readonly body: QueryBody | undefined;
  readonly query: Readonly<Record<string, unknown>>;
  readonly accept: string | undefined;
}

/** A body as its content type says: the statement alone, or members beside it. */
export type QueryBody = { readonly text: string } | { readonly json: unknown };

export const CONTENT_TYPES: Readonly<Record<ResultFormat, string>> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.stream',
};

const MEMBERS = ['sql', 'params', 'begin', 'end', 'receipt'];
const QUERY_PARAMETERS = ['begin', 'end'];

/** Errors: `query.bad-request`, `query.not-acceptable`. */
export function parseQueryRequest({ body, query, accept }: RawRequest): QueryRequest {
  refuseOthers(query, QUERY_PARAMETERS, 'a parameter of the URL');
  const members = membersOf(body);
  refuseOthers(members, MEMBERS, 'a member of the body');
  const { sql, params, receipt = false } = members;
  if (typeof sql !== 'string' || sql.trim() === '') throw bad('sql', 'must be a statement');
  if (typeof receipt !== 'boolean') throw bad('receipt', 'must be true or false');
  const format = chooseFormat(accept);
  if (receipt && format !== 'json') {
    throw bad(
      'receipt',
      'stands in the body only with "Accept: application/json"; it is in the headers of each',
    );
  }
  const beginNs = parseTime('begin', members.begin ?? query.begin);
  const endNs = parseTime('end', members.end ?? query.end);
  if (beginNs !== undefined && endNs !== undefined && beginNs > endNs) {
    throw bad('end', `must not be before begin (${formatRfc3339(beginNs)})`);
  }
  return {
    sql,
    params: parseParams(params),
    range: { beginNs, endNs },
    format,
    wantsReceipt: receipt,
  };
}

/** Reads JSON in which whole numbers that a double cannot hold stay exact. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    const source = context?.source ?? '';
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}

function membersOf(body: QueryBody | undefined): Readonly<Record<string, unknown>> {
  if (body === undefined)
    throw bad('sql', 'must be a statement, in a body of JSON or of plain text');
  if ('text' in body) return { sql: body.text };
  const { json } = body;
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
    return json as Record<string, unknown>;
  }
  throw bad('body', 'must be an object such as {"sql": "SELECT 1"}');
}

function refuseOthers(
  members: Readonly<Record<string, unknown>>,
  known: readonly string[],
  what: string,
): void {
  for (const name of Object.keys(members)) {
    if (!known.includes(name)) throw bad(name, `is not ${what}; there are ${known.join(', ')}`);
  }
}

function parseParams(value: unknown): QueryParameter[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw bad('params', 'must be a list, the first one for $1');
  return value.map((one: unknown, index) => {
    if (one === null || ['string', 'boolean', 'number', 'bigint'].includes(typeof one)) {
      return one as QueryParameter;
    }
    throw bad(`params[${index}]`, 'must be a text, a number, true, false or null');
  });
}

function parseTime(name: string, value: unknown): Nanoseconds | undefined {
  if (value === undefined || value === null) return undefined;
  const time = typeof value === 'string' ? parseRfc3339(value) : undefined;
  if (time !== undefined) return time;
  throw bad(name, 'must be an RFC 3339 time such as 2026-11-21T04:00:00.123456789Z');
}

/** The most welcome of the formats there are; of equals the first here. Without a wish it is JSON. */
export function chooseFormat(accept: string | undefined): ResultFormat {
  const ranges = (accept ?? '*/*').split(',').map(parseMediaRange);
  let best: { format: ResultFormat; quality: number } | undefined;
  for (const [format, type] of Object.entries(CONTENT_TYPES) as [ResultFormat, string][]) {
    const quality = qualityOf(type, ranges);
    if (quality > 0 && quality > (best?.quality ?? 0)) best = { format, quality };
  }
  if (best !== undefined) return best.format;
  throw new QueryError(
    'query.not-acceptable',
    `answers are ${Object.values(CONTENT_TYPES).join(', ')}`,
    { details: { accept } },
  );
}

interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

function parseMediaRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((part) => part.startsWith('q='))?.slice(2);
  return { type, quality: quality === undefined ? 1 : Number(quality) || 0 };
}

/** The most specific range that covers the type decides. */
function qualityOf(type: string, ranges: readonly MediaRange[]): number {
  for (const covering of [type, `${type.split('/', 1)[0]}/*`, '*/*']) {
    const range = ranges.find((one) => one.type === covering);
    if (range !== undefined) return range.quality;
  }
  return 0;
}

function bad(parameter: string, rule: string): QueryError {
  return new QueryError('query.bad-request', `${parameter} ${rule}`, { details: { parameter } });
}
