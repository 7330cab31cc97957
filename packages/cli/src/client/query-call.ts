/** Calls to the query service, and what its answers say beside their rows. */
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command.ts';
import { Progress } from '../output/progress.ts';
import { type CsvRow, readCsvRows } from './csv-rows.ts';
import { callService } from './http-call.ts';
import { bodyOf } from './response-body.ts';
import type { Connection } from './service-endpoints.ts';

export const answerFormats = ['json', 'ndjson', 'csv', 'arrow'] as const;
export type AnswerFormat = (typeof answerFormats)[number];

const mediaTypes: Readonly<Record<AnswerFormat, string>> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.stream',
};

export type QueryParameter = string | number | bigint | boolean | null;

export interface Query {
  readonly sql: string;
  /** `$1` is the first. */
  readonly params?: readonly QueryParameter[];
  /** RFC 3339. */
  readonly begin?: string | undefined;
  readonly end?: string | undefined;
  readonly format: AnswerFormat;
}

/** Sends a statement; the answer's rows are still to be read. A terminal is told about the wait. */
export async function callQuery(
  connection: Connection,
  query: Query,
  context: CommandContext,
): Promise<Response> {
  const progress = new Progress({ stream: context.stderr });
  progress.wait('preparing the answer; partitions that are missing are built first');
  try {
    return await callService(connection, {
      service: 'query',
      method: 'POST',
      path: '/v1/query',
      accept: mediaTypes[query.format],
      json: jsonOf(query),
      signal: context.signal,
    });
  } finally {
    progress.end();
  }
}

/** JSON has whole numbers of any size; JSON.stringify refuses those of JavaScript. */
function jsonOf({ sql, params = [], begin, end }: Query): string {
  const values = params.map((one) => (typeof one === 'bigint' ? `${one}` : JSON.stringify(one)));
  const members = JSON.stringify({ sql, begin, end });
  return `${members.slice(0, -1)},"params":[${values.join(',')}]}`;
}

/** The rows of an answer in CSV, the header first: in it an answer that broke off cannot look whole. */
export function readRows(response: Response, signal: AbortSignal): AsyncIterable<CsvRow> {
  return readCsvRows(bodyOf(response, 'answer', signal));
}

/** The names of an answer's columns. */
export async function readHeader(rows: AsyncIterator<CsvRow>): Promise<readonly string[]> {
  const header = await rows.next();
  if (header.done === true) throw new CliError('cli.bad-answer', 'the answer has no columns');
  return header.value.map((name) => name ?? '');
}

export interface Receipt {
  readonly summary: string;
  /** Undefined when nothing is missing from the answer. */
  readonly warning: string | undefined;
}

/** What the answer was made from, by its headers; undefined for a service that does not say. */
export function receiptOf(response: Response): Receipt | undefined {
  const header = (name: string) => response.headers.get(`tracelake-receipt-${name}`) ?? '';
  const known = header('blocks-known');
  if (known === '') return undefined;
  const rejected = header('blocks-rejected');
  const facts = [
    `${header('blocks-read')} of ${known} blocks read`,
    /^(?:\.\.\/\.\.)?$/.test(header('range')) ? '' : `range ${header('range')}`,
    header('view-versions').replaceAll(',', ', '),
    header('process-writing') === 'true' ? 'still being written' : '',
  ];
  const isWhole = rejected === '' || rejected === '0';
  return {
    summary: facts.filter((fact) => fact !== '').join('; '),
    warning: isWhole
      ? undefined
      : `${rejected} block(s) could not be decoded and are not in the answer: ${header('rejected-ids')}`,
  };
}

/** Writes the receipt, and a warning for what the answer lacks. */
export function reportReceipt(response: Response, context: CommandContext): void {
  const receipt = receiptOf(response);
  if (receipt === undefined) return;
  context.stderr.write(`receipt: ${receipt.summary}\n`);
  if (receipt.warning !== undefined) context.stderr.write(`warning: ${receipt.warning}\n`);
}
