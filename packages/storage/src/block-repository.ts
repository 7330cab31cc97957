import {
  assert,
  type BlockId,
  type BlockInfo,
  type ProcessId,
  type StreamId,
  ticks,
} from '@tracelake/domain';
import type { SourceBlock } from '@tracelake/lakehouse';
import type { Queryable } from './postgres/database.ts';
import { microsecondsToNs, nsToMicroseconds } from './postgres/microseconds.ts';
import { fragment, prepared, sql } from './postgres/sql.ts';
import { StorageError } from './storage-error.ts';
import { listUnannouncedIds, markAnnounced, type UnannouncedFilter } from './unannounced.ts';

/** A block whose payload is durable in the object store. */
export interface NewBlock extends BlockInfo {
  /** Over the canonical envelope and the two payload buffers. */
  readonly contentSha256: Uint8Array;
  /** Bytes of the stored object. */
  readonly payloadBytes: number;
}

export type BlockInsertOutcome = 'inserted' | 'exists-same' | 'exists-different';

export interface BlockInsertResult {
  readonly outcome: BlockInsertOutcome;
  /** Of the row that is there now. */
  readonly insertTimeUs: bigint;
  /** How long the row had been there, by the database's clock; 0 for a new one. */
  readonly ageMs: number;
}

export interface UnannouncedBlock {
  readonly blockId: BlockId;
  readonly streamId: StreamId;
  readonly processId: ProcessId;
  /** Undefined while the stream's row has not come. */
  readonly tags: readonly string[] | undefined;
  readonly insertTimeUs: bigint;
  readonly objectCount: number;
  readonly payloadBytes: number;
}

/** Blocks of a process or of one stream that have a stream with this tag. */
export type WantedFilter = { readonly streamTag: string } & (
  | { readonly processId: ProcessId }
  | { readonly streamId: StreamId }
);

/** Keeps one statement's parameters to a few megabytes. */
const INSERT_ROWS_MAX = 10_000;

export interface BlockRow {
  block_id: BlockId;
  stream_id: StreamId;
  process_id: ProcessId;
  begin_us: bigint;
  begin_ticks: bigint;
  end_us: bigint;
  end_ticks: bigint;
  nb_objects: number;
  object_offset: bigint;
  payload_size: bigint;
  content_sha256: Uint8Array;
  insert_us: bigint;
}

export const BLOCK_COLUMNS = fragment(`
  b.block_id, b.stream_id, b.process_id, unix_us(b.begin_time) AS begin_us, b.begin_ticks,
  unix_us(b.end_time) AS end_us, b.end_ticks, b.nb_objects, b.object_offset, b.payload_size,
  b.content_sha256, unix_us(b.insert_time) AS insert_us`);

/**
 * What views may see: a block whose stream and process are known, and whose stream is that process's. All else
 * is pending.
 */
const WANTED_SOURCES = fragment(`
  blocks b
  JOIN streams s ON s.stream_id = b.stream_id AND s.process_id = b.process_id
  JOIN processes p ON p.process_id = b.process_id`);

const STREAM_ORDER = fragment(
  'b.stream_id, b.begin_ticks, b.end_ticks, b.object_offset, b.block_id',
);

/** The `blocks` table. Methods throw StorageError; each is one round trip unless said. */
export class BlockRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async insertIfAbsent(block: NewBlock, signal?: AbortSignal): Promise<BlockInsertOutcome> {
    const [result] = await this.insertMany([block], signal);
    assert(result !== undefined, 'an inserted block has an outcome');
    return result.outcome;
  }

  /**
   * Stores blocks in one commit (at most 10,000), to be announced. The result at each index tells of the block
   * there; a block whose id is known is left as it is and compared by its content hash, which takes a second
   * round trip.
   */
  async insertMany(
    blocks: readonly NewBlock[],
    signal?: AbortSignal,
  ): Promise<BlockInsertResult[]> {
    assert(blocks.length <= INSERT_ROWS_MAX, 'a batch of blocks is bounded');
    // In one order, so that two batches with the same ids do not lock each other out.
    const sorted = blocks.toSorted((a, b) => compareText(a.blockId, b.blockId));
    const stored = new Map<BlockId, StoredBlock>();
    for (const row of await this.#insert(sorted, signal)) {
      stored.set(row.block_id, { ...row, age_us: 0n, isNew: true });
    }
    if (stored.size < blocks.length) {
      const there = blocks.map((block) => block.blockId).filter((id) => !stored.has(id));
      for (const row of await this.#findContent(there, signal)) {
        stored.set(row.block_id, { ...row, isNew: false });
      }
    }
    return blocks.map((block) => outcomeOf(block, stored.get(block.blockId)));
  }

  /** The content hashes of those of the blocks (at most 10,000) that are known. */
  async findContentHashes(
    ids: readonly BlockId[],
    signal?: AbortSignal,
  ): Promise<Map<BlockId, Uint8Array>> {
    assert(ids.length <= INSERT_ROWS_MAX, 'a batch of blocks is bounded');
    const rows = await this.#findContent(ids, signal);
    return new Map(rows.map((row) => [row.block_id, row.content_sha256]));
  }

  async find(id: BlockId, signal?: AbortSignal): Promise<SourceBlock | undefined> {
    const [row] = await this.#db.query<BlockRow>(
      sql`SELECT ${BLOCK_COLUMNS} FROM blocks b WHERE b.block_id = ${id}`,
      signal,
    );
    return row === undefined ? undefined : sourceBlockOf(row);
  }

  async exists(id: BlockId, signal?: AbortSignal): Promise<boolean> {
    const rows = await this.#db.query(sql`SELECT 1 FROM blocks WHERE block_id = ${id}`, signal);
    return rows.length === 1;
  }

  /** In stream order within each stream. */
  async listWanted(filter: WantedFilter, signal?: AbortSignal): Promise<SourceBlock[]> {
    const condition =
      'processId' in filter
        ? { column: fragment('s.process_id'), id: filter.processId }
        : { column: fragment('s.stream_id'), id: filter.streamId };
    const rows = await this.#db.query<BlockRow>(
      sql`SELECT ${BLOCK_COLUMNS} FROM ${WANTED_SOURCES}
        WHERE ${condition.column} = ${condition.id} AND s.tags @> ARRAY[${filter.streamTag}::text]
        ORDER BY ${STREAM_ORDER}`,
      signal,
    );
    return rows.map(sourceBlockOf);
  }

  /** Blocks stored in the last `withinMs` that no view may see yet, their stream or process not being known. */
  async countPending(withinMs: number, signal?: AbortSignal): Promise<number> {
    const [row] = await this.#db.query<{ pending: bigint }>(
      sql`SELECT count(*) AS pending FROM blocks b
        WHERE b.insert_time >= clock_timestamp() - ${withinMs}::double precision * interval '1 millisecond'
          AND NOT EXISTS (SELECT FROM streams s JOIN processes p ON p.process_id = s.process_id
            WHERE s.stream_id = b.stream_id AND s.process_id = b.process_id)`,
      signal,
    );
    return Number(row?.pending ?? 0n);
  }

  /** Blocks that a crash or an outage of the bus left unannounced, oldest first. Two round trips. */
  async listUnannounced(
    filter: UnannouncedFilter,
    signal?: AbortSignal,
  ): Promise<UnannouncedBlock[]> {
    const ids = await listUnannouncedIds(this.#db, 'block', filter, signal);
    if (ids.length === 0) return [];
    const rows = await this.#db.query<BlockRow & { tags: string[] | null }>(
      sql`SELECT ${BLOCK_COLUMNS}, s.tags
        FROM blocks b LEFT JOIN streams s ON s.stream_id = b.stream_id AND s.process_id = b.process_id
        WHERE b.block_id = ANY(${ids}::uuid[]) ORDER BY b.insert_time`,
      signal,
    );
    return rows.map((row) => ({
      blockId: row.block_id,
      streamId: row.stream_id,
      processId: row.process_id,
      tags: row.tags ?? undefined,
      insertTimeUs: row.insert_us,
      objectCount: row.nb_objects,
      payloadBytes: Number(row.payload_size),
    }));
  }

  async markAnnounced(ids: readonly BlockId[], signal?: AbortSignal): Promise<void> {
    await markAnnounced(this.#db, 'block', ids, signal);
  }

  async #insert(
    blocks: readonly NewBlock[],
    signal?: AbortSignal,
  ): Promise<Omit<ContentRow, 'age_us'>[]> {
    if (blocks.length === 0) return [];
    const statement = sql`
        WITH new AS (
          INSERT INTO blocks (block_id, stream_id, process_id, begin_time, begin_ticks, end_time,
            end_ticks, nb_objects, object_offset, payload_size, content_sha256)
          SELECT block_id, stream_id, process_id, from_unix_us(begin_us), begin_ticks,
            from_unix_us(end_us), end_ticks, nb_objects, object_offset, payload_size, content_sha256
          FROM unnest(
            ${blocks.map((block) => block.blockId)}::uuid[],
            ${blocks.map((block) => block.streamId)}::uuid[],
            ${blocks.map((block) => block.processId)}::uuid[],
            ${blocks.map((block) => nsToMicroseconds(block.beginNs))}::bigint[],
            ${blocks.map((block) => block.beginTicks)}::bigint[],
            ${blocks.map((block) => nsToMicroseconds(block.endNs))}::bigint[],
            ${blocks.map((block) => block.endTicks)}::bigint[],
            ${blocks.map((block) => block.objectCount)}::integer[],
            ${blocks.map((block) => block.objectOffset)}::bigint[],
            ${blocks.map((block) => block.payloadBytes)}::bigint[],
            ${blocks.map((block) => block.contentSha256)}::bytea[])
            AS incoming (block_id, stream_id, process_id, begin_us, begin_ticks, end_us, end_ticks,
              nb_objects, object_offset, payload_size, content_sha256)
          ON CONFLICT (block_id) DO NOTHING
          RETURNING block_id, content_sha256, insert_time),
        queued AS (INSERT INTO unannounced (kind, id) SELECT 'block', block_id FROM new)
        SELECT block_id, content_sha256, unix_us(insert_time) AS insert_us FROM new`;
    return this.#db.query(prepared('blocks-insert', statement), signal);
  }

  async #findContent(ids: readonly BlockId[], signal?: AbortSignal): Promise<ContentRow[]> {
    if (ids.length === 0) return [];
    const statement = sql`
      SELECT block_id, content_sha256, unix_us(insert_time) AS insert_us,
        unix_us(clock_timestamp()) - unix_us(insert_time) AS age_us
      FROM blocks WHERE block_id = ANY(${ids}::uuid[])`;
    return this.#db.query<ContentRow>(prepared('blocks-content', statement), signal);
  }
}

export function sourceBlockOf(row: BlockRow): SourceBlock {
  return {
    blockId: row.block_id,
    streamId: row.stream_id,
    processId: row.process_id,
    beginNs: microsecondsToNs(row.begin_us),
    endNs: microsecondsToNs(row.end_us),
    beginTicks: ticks(row.begin_ticks),
    endTicks: ticks(row.end_ticks),
    objectCount: row.nb_objects,
    objectOffset: row.object_offset,
    insertTimeUs: row.insert_us,
    contentSha256: row.content_sha256,
    payloadBytes: Number(row.payload_size),
  };
}

interface ContentRow {
  block_id: BlockId;
  content_sha256: Uint8Array;
  insert_us: bigint;
  age_us: bigint;
}

interface StoredBlock extends ContentRow {
  /** Whether the next block of the batch with this content is the one that made the row. */
  isNew: boolean;
}

function outcomeOf(block: NewBlock, stored: StoredBlock | undefined): BlockInsertResult {
  if (stored === undefined) {
    throw new StorageError('storage.conflict', 'a block was deleted while it was stored again', {
      retryable: true,
      details: { blockId: block.blockId },
    });
  }
  const found = { insertTimeUs: stored.insert_us, ageMs: Number(stored.age_us) / 1000 };
  if (Buffer.compare(stored.content_sha256, block.contentSha256) !== 0) {
    return { outcome: 'exists-different', ...found };
  }
  if (!stored.isNew) return { outcome: 'exists-same', ...found };
  stored.isNew = false;
  return { outcome: 'inserted', ...found };
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
