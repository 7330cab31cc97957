/**
 * What parent and child say to each other, as JSON over Node's IPC channel. 64-bit integers travel as
 * decimal text. The child has run a stranger's statement: the parent believes nothing that it says before
 * `parseChildMessage` has looked at it.
 */

import type { ColumnType } from '@tracelake/lakehouse';
import type { SourceRef } from '@tracelake/sql';
import { EngineError, type EngineErrorCode, findEngineErrorCode } from './engine-error.ts';

export type { SourceRef } from '@tracelake/sql';

export interface StatementSources {
  /** The statement was `EXPLAIN <select>`: these are the sources of the select, which must not be run. */
  readonly explain: boolean;
  readonly sources: readonly SourceRef[];
}

export interface TableColumn {
  readonly name: string;
  /** `string-list` is stored as the JSON text of an array of strings and read as VARCHAR[]. */
  readonly type: ColumnType | 'string-list';
}

/** Rows that lie in files. */
export interface StoredRows {
  /** Absolute paths of Parquet files on this machine; none gives no rows. */
  readonly files: readonly string[];
  readonly columns: readonly TableColumn[];
  /** Rows with `begin <= range end` and `end >= range begin` stay; both columns may be one. */
  readonly timePredicate?: { readonly begin: string; readonly end: string } | undefined;
}

/** Rows that follow others, after text columns that are the same in all of them. */
export interface NamedRows extends StoredRows {
  readonly named: Readonly<Record<string, string>>;
}

/** A table of the schema `lake`: files, some of them after others, or SQL over tables defined before it. */
export type TableDefinition = { readonly table: string } & (
  | StoredRows
  | { readonly parts: readonly NamedRows[] }
  | { readonly sql: string }
);

export type ResultFormat = 'json' | 'ndjson' | 'csv' | 'arrow';

export type QueryParameter = string | number | boolean | bigint | null;

export interface RunLimits {
  /** Time that the engine works, not counting its waits for the reader. */
  readonly timeMs: number;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

export interface RunRequest {
  readonly tables: readonly TableDefinition[];
  readonly format: ResultFormat;
  /** `$1` is the first. */
  readonly params: readonly QueryParameter[];
  /** Nanoseconds since the Unix epoch, inclusive at both ends; an end that is not given is open. */
  readonly range: { readonly beginNs?: bigint | undefined; readonly endNs?: bigint | undefined };
  readonly limits: RunLimits;
}

/** What a child is told when it starts, as one JSON argument. */
export interface EngineSettings {
  readonly memoryBytes: number;
  readonly threads: number;
  readonly tempDir: string;
  readonly tempBytesMax: number;
  /** Resident bytes of the whole process: what the memory limit of the engine itself does not count. */
  readonly processBytesMax: number;
  readonly expressionDepthMax: number;
  /** Statements that the process serves, each with an instance of DuckDB of its own. */
  readonly statementsMax: number;
  /** A process that holds more resident bytes than this after a statement serves no other. */
  readonly keptBytesMax: number;
}

export type ParentMessage =
  | { readonly kind: 'analyse'; readonly sql: string }
  | { readonly kind: 'run'; readonly request: RunRequest };

export interface RunSummary {
  readonly rows: number;
  readonly bytes: number;
}

export type ChildMessage =
  /** For a statement: the first one, or another after `done`. */
  | { readonly kind: 'ready' }
  | ({ readonly kind: 'sources' } & StatementSources)
  /** The first rows are there: bytes follow on the body's pipe. */
  | { readonly kind: 'started' }
  | ({ readonly kind: 'done' } & RunSummary)
  | { readonly kind: 'error'; readonly code: EngineErrorCode; readonly message: string };

/** JSON keeps no bigint: it becomes `{"bigint": "<decimal>"}`. */
export function encodeParentMessage(message: ParentMessage): unknown {
  const text = JSON.stringify(message, (_key, value: unknown) =>
    typeof value === 'bigint' ? { bigint: value.toString() } : value,
  );
  return JSON.parse(text);
}

/** The child trusts its parent's messages: only bigints are restored. */
export function decodeParentMessage(message: unknown): ParentMessage {
  return restoreBigints(message) as ParentMessage;
}

/** Throws `query.engine-failed` for anything that is not a message of the protocol. */
export function parseChildMessage(message: unknown): ChildMessage {
  if (!isObject(message)) throw badMessage('not an object');
  switch (message.kind) {
    case 'ready':
    case 'started':
      return { kind: message.kind };
    case 'sources':
      if (!Array.isArray(message.sources) || typeof message.explain !== 'boolean') break;
      return {
        kind: 'sources',
        explain: message.explain,
        sources: message.sources.map(parseSource),
      };
    case 'done':
      return {
        kind: 'done',
        rows: parseCount(message.rows),
        bytes: parseCount(message.bytes),
      };
    case 'error': {
      const code = findEngineErrorCode(message.code) ?? 'query.engine-failed';
      return { kind: 'error', code, message: String(message.message).slice(0, MESSAGE_CHARS_MAX) };
    }
  }
  throw badMessage(String(message.kind));
}

/** Error texts quote the statement; a megabyte of it helps nobody. */
const MESSAGE_CHARS_MAX = 4000;

function parseSource(source: unknown): SourceRef {
  if (!isObject(source)) throw badMessage('source');
  const { kind, table } = source;
  const texts = [table, ...sourceTexts(source)];
  if (!texts.every((text) => typeof text === 'string')) throw badMessage('source');
  // The names are looked up, and refused when they are unknown, by whoever resolves the source.
  if (kind === 'view') {
    return { kind, table, viewSet: source.viewSet, instance: source.instance } as SourceRef;
  }
  if (kind === 'catalog') return { kind, table, name: source.name } as SourceRef;
  return { kind: 'function', table, name: source.name, args: source.args } as SourceRef;
}

function sourceTexts(source: Record<string, unknown>): unknown[] {
  if (source.kind === 'view') return [source.viewSet, source.instance];
  if (source.kind === 'catalog') return [source.name];
  if (source.kind === 'function' && Array.isArray(source.args)) {
    return [source.name, ...source.args];
  }
  throw badMessage('source');
}

function parseCount(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw badMessage('count');
}

function restoreBigints(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(restoreBigints);
  if (!isObject(value)) return value;
  if (typeof value.bigint === 'string') return BigInt(value.bigint);
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, restoreBigints(member)]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function badMessage(what: string): EngineError {
  return new EngineError('query.engine-failed', `cannot understand the query process: ${what}`);
}
