/** What a request asks for, read from its query and headers. Pure. */

import {
  formatRfc3339,
  type Nanoseconds,
  nanoseconds,
  type ProcessId,
  parseProcessId,
  parseRfc3339,
  type TimeRange,
} from '@tracelake/domain';
import { ExportError } from './export-error.ts';

export type SpanChoice = 'both' | 'thread' | 'async';

export type TraceCompression = 'deflate' | 'none';

export type ExportFormat = 'perfetto' | 'arrow';

export interface ExportRequest {
  readonly processId: ProcessId;
  readonly spans: SpanChoice;
  /** Undefined: from the first span on. */
  readonly beginNs: Nanoseconds | undefined;
  /** Undefined: to the last span. */
  readonly endNs: Nanoseconds | undefined;
  /** Whether packets leave in compressed groups; a trace's content is the same either way. */
  readonly compress: TraceCompression;
  readonly format: ExportFormat;
}

export const ARROW_STREAM_TYPE = 'application/vnd.apache.arrow.stream';
export const OCTET_STREAM_TYPE = 'application/octet-stream';

const SPAN_CHOICES: readonly SpanChoice[] = ['both', 'thread', 'async'];
const COMPRESSIONS: readonly TraceCompression[] = ['deflate', 'none'];
const PARAMETERS = ['spans', 'begin', 'end', 'compress'];

/** Times before and after all that a span can have. */
const FIRST_NS = nanoseconds(-(2n ** 63n) + 2n);
const LAST_NS = nanoseconds(2n ** 63n - 2n);

export interface RawExportRequest {
  readonly processId: string;
  readonly query: Readonly<Record<string, unknown>>;
  readonly accept: string | undefined;
}

/** Errors: `trace-export.bad-parameter`, which names the parameter and what it may be. */
export function parseExportRequest(raw: RawExportRequest): ExportRequest {
  const unknown = Object.keys(raw.query).find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined) {
    throw badParameter(unknown, `is not a parameter; there are ${PARAMETERS.join(', ')}`);
  }
  const beginNs = parseTime('begin', raw.query.begin);
  const endNs = parseTime('end', raw.query.end);
  if (beginNs !== undefined && endNs !== undefined && beginNs > endNs) {
    throw badParameter('end', `must not be before begin (${formatRfc3339(beginNs)})`);
  }
  return {
    processId: parseProcessIdParameter(raw.processId),
    spans: parseChoice('spans', raw.query.spans, SPAN_CHOICES, 'both'),
    beginNs,
    endNs,
    compress: parseChoice('compress', raw.query.compress, COMPRESSIONS, 'none'),
    format: prefersArrow(raw.accept) ? 'arrow' : 'perfetto',
  };
}

/** Errors: `trace-export.bad-parameter`. */
export function parseProcessIdParameter(text: string): ProcessId {
  const processId = parseProcessId(text);
  if (processId === undefined) throw badParameter('process_id', 'must be a UUID');
  return processId;
}

/** The range with both ends given; a missing end lies beyond every span. */
export function rangeOf(request: Pick<ExportRequest, 'beginNs' | 'endNs'>): TimeRange {
  return { beginNs: request.beginNs ?? FIRST_NS, endNs: request.endNs ?? LAST_NS };
}

function parseChoice<Choice extends string>(
  name: string,
  value: unknown,
  choices: readonly Choice[],
  fallback: Choice,
): Choice {
  if (value === undefined) return fallback;
  const choice = choices.find((candidate) => candidate === value);
  if (choice === undefined) throw badParameter(name, `must be ${choices.join(', ')}`);
  return choice;
}

function parseTime(name: string, value: unknown): Nanoseconds | undefined {
  if (value === undefined) return undefined;
  const time = typeof value === 'string' ? parseRfc3339(value) : undefined;
  if (time === undefined) {
    const example = '2026-11-21T04:00:00.123456789Z';
    throw badParameter(name, `must be an RFC 3339 time such as ${example}, with "+" sent as %2B`);
  }
  return time;
}

/** Whether Arrow is named in `Accept`, at least as welcome as the plain bytes. */
function prefersArrow(accept: string | undefined): boolean {
  const weights = new Map<string, number>();
  for (const part of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const quality = parameters.find((text) => text.startsWith('q='))?.slice(2);
    weights.set(type, quality === undefined ? 1 : Number(quality) || 0);
  }
  const arrow = weights.get(ARROW_STREAM_TYPE) ?? 0;
  return arrow > 0 && arrow >= (weights.get(OCTET_STREAM_TYPE) ?? 0);
}

function badParameter(name: string, rule: string): ExportError {
  return new ExportError('trace-export.bad-parameter', `${name} ${rule}`, {
    details: { parameter: name },
  });
}
