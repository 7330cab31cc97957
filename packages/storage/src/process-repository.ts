import type { Nanoseconds, ProcessId, ProcessInfo } from '@tracelake/domain';
import { ticks } from '@tracelake/domain';
import type { Queryable } from './postgres/database.ts';
import { microsecondsToNs, nsToMicroseconds } from './postgres/microseconds.ts';
import { fragment, prepared, sql } from './postgres/sql.ts';
import { storableProperties, storableText } from './postgres/storable-text.ts';
import { listUnannouncedIds, markAnnounced, type UnannouncedFilter } from './unannounced.ts';

/** A process with what is known of it from its blocks. */
export interface ProcessSummary {
  readonly process: ProcessInfo;
  readonly insertTimeUs: bigint;
  readonly lastBlockEndNs: Nanoseconds | undefined;
  readonly blockCount: number;
  readonly streamCount: number;
  /** Streams that carry spans. */
  readonly cpuStreamCount: number;
}

export interface ProcessListFilter {
  /** Part of the exe, user, computer or id, in any case. */
  readonly search?: string | undefined;
  readonly limit: number;
}

export interface UnannouncedProcess {
  readonly processId: ProcessId;
  readonly insertTimeUs: bigint;
}

export interface ProcessRow {
  process_id: ProcessId;
  exe: string;
  username: string;
  realname: string;
  computer: string;
  distro: string;
  cpu_brand: string;
  tsc_frequency: bigint;
  start_us: bigint;
  start_ticks: bigint;
  parent_process_id: ProcessId | null;
  properties: Record<string, string>;
}

interface SummaryRow extends ProcessRow {
  insert_us: bigint;
  last_block_end_us: bigint | null;
  block_count: bigint;
  stream_count: bigint;
  cpu_stream_count: bigint;
}

export const PROCESS_COLUMNS = fragment(`
  p.process_id, p.exe, p.username, p.realname, p.computer, p.distro, p.cpu_brand, p.tsc_frequency,
  unix_us(p.start_time) AS start_us, p.start_ticks, p.parent_process_id, p.properties`);

const SUMMARY_SOURCES = fragment(`
  CROSS JOIN LATERAL (
    SELECT count(*) AS block_count, unix_us(max(b.end_time)) AS last_block_end_us
    FROM blocks b WHERE b.process_id = p.process_id) AS of_blocks
  CROSS JOIN LATERAL (
    SELECT count(*) AS stream_count, count(*) FILTER (WHERE s.tags @> '{cpu}') AS cpu_stream_count
    FROM streams s WHERE s.process_id = p.process_id) AS of_streams`);

const SUMMARY_COLUMNS = fragment(`
  unix_us(p.insert_time) AS insert_us, of_blocks.block_count, of_blocks.last_block_end_us,
  of_streams.stream_count, of_streams.cpu_stream_count`);

/** The `processes` table. Every method is one round trip and throws StorageError. */
export class ProcessRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** Stores the process unless its id is known (the first write wins), to be announced. */
  async insertIfAbsent(process: ProcessInfo, signal?: AbortSignal): Promise<'inserted' | 'exists'> {
    const p = process;
    const rows = await this.#db.query(
      sql`
        WITH new AS (
          INSERT INTO processes (process_id, exe, username, realname, computer, distro, cpu_brand,
            tsc_frequency, start_time, start_ticks, parent_process_id, properties)
          VALUES (${p.processId}, ${storableText(p.exe)}, ${storableText(p.username)},
            ${storableText(p.realname)}, ${storableText(p.computer)}, ${storableText(p.distro)},
            ${storableText(p.cpuBrand)}, ${p.tscFrequencyHz},
            from_unix_us(${nsToMicroseconds(p.startNs)}::bigint), ${p.startTicks},
            ${p.parentProcessId ?? null}, ${storableProperties(p.properties)}::jsonb)
          ON CONFLICT (process_id) DO NOTHING
          RETURNING process_id)
        INSERT INTO unannounced (kind, id) SELECT 'process', process_id FROM new RETURNING id`,
      signal,
    );
    return rows.length === 1 ? 'inserted' : 'exists';
  }

  async find(id: ProcessId, signal?: AbortSignal): Promise<ProcessInfo | undefined> {
    const [row] = await this.#db.query<ProcessRow>(
      prepared(
        'process',
        sql`SELECT ${PROCESS_COLUMNS} FROM processes p WHERE p.process_id = ${id}`,
      ),
      signal,
    );
    return row === undefined ? undefined : processOf(row);
  }

  async findSummary(id: ProcessId, signal?: AbortSignal): Promise<ProcessSummary | undefined> {
    const [row] = await this.#db.query<SummaryRow>(
      sql`SELECT ${PROCESS_COLUMNS}, ${SUMMARY_COLUMNS} FROM processes p ${SUMMARY_SOURCES}
        WHERE p.process_id = ${id}`,
      signal,
    );
    return row === undefined ? undefined : summaryOf(row);
  }

  /** Latest start first. */
  async list(filter: ProcessListFilter, signal?: AbortSignal): Promise<ProcessSummary[]> {
    const search = storableText(filter.search ?? '');
    const rows = await this.#db.query<SummaryRow>(
      sql`
        SELECT ${PROCESS_COLUMNS}, ${SUMMARY_COLUMNS}
        FROM (
          SELECT * FROM processes
          WHERE ${search}::text = '' OR position(lower(${search}::text) IN lower(
            concat_ws(chr(10), exe, username, realname, computer, process_id::text))) > 0
          ORDER BY start_time DESC, process_id
          LIMIT ${filter.limit}::bigint) AS p
        ${SUMMARY_SOURCES}
        ORDER BY p.start_time DESC, p.process_id`,
      signal,
    );
    return rows.map(summaryOf);
  }

  /** Processes that a crash or an outage of the bus left unannounced, oldest first. */
  async listUnannounced(
    filter: UnannouncedFilter,
    signal?: AbortSignal,
  ): Promise<UnannouncedProcess[]> {
    const ids = await listUnannouncedIds(this.#db, 'process', filter, signal);
    if (ids.length === 0) return [];
    const rows = await this.#db.query<{ process_id: ProcessId; insert_us: bigint }>(
      sql`SELECT process_id, unix_us(insert_time) AS insert_us FROM processes
        WHERE process_id = ANY(${ids}::uuid[]) ORDER BY insert_time`,
      signal,
    );
    return rows.map((row) => ({ processId: row.process_id, insertTimeUs: row.insert_us }));
  }

  async markAnnounced(ids: readonly ProcessId[], signal?: AbortSignal): Promise<void> {
    await markAnnounced(this.#db, 'process', ids, signal);
  }
}

export function processOf(row: ProcessRow): ProcessInfo {
  return {
    processId: row.process_id,
    exe: row.exe,
    username: row.username,
    realname: row.realname,
    computer: row.computer,
    distro: row.distro,
    cpuBrand: row.cpu_brand,
    tscFrequencyHz: row.tsc_frequency,
    startNs: microsecondsToNs(row.start_us),
    startTicks: ticks(row.start_ticks),
    parentProcessId: row.parent_process_id ?? undefined,
    properties: row.properties,
  };
}

function summaryOf(row: SummaryRow): ProcessSummary {
  return {
    process: processOf(row),
    insertTimeUs: row.insert_us,
    lastBlockEndNs:
      row.last_block_end_us === null ? undefined : microsecondsToNs(row.last_block_end_us),
    blockCount: Number(row.block_count),
    streamCount: Number(row.stream_count),
    cpuStreamCount: Number(row.cpu_stream_count),
  };
}
