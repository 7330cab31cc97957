import { createHash } from 'node:crypto';
import type { ProcessId, StreamId, StreamInfo, UserDefinedType } from '@tracelake/domain';
import type { SourceStream } from '@tracelake/lakehouse';
import { decodeUserDefinedTypes, encodeUserDefinedTypes } from '@tracelake/transit';
import type { Queryable } from './postgres/database.ts';
import { fragment, prepared, sql } from './postgres/sql.ts';
import { storableProperties, storableText } from './postgres/storable-text.ts';
import { listUnannouncedIds, markAnnounced, type UnannouncedFilter } from './unannounced.ts';

export interface UnannouncedStream {
  readonly streamId: StreamId;
  readonly processId: ProcessId;
  readonly tags: readonly string[];
  readonly insertTimeUs: bigint;
}

/** What the blocks of a stream need of it. */
export interface StreamOwner {
  readonly processId: ProcessId;
  readonly tags: readonly string[];
}

export interface StreamRow {
  stream_id: StreamId;
  process_id: ProcessId;
  dependencies_metadata: Uint8Array;
  objects_metadata: Uint8Array;
  metadata_sha256: Uint8Array;
  tags: string[];
  properties: Record<string, string>;
}

const STREAM_COLUMNS = fragment(`
  s.stream_id, s.process_id, s.dependencies_metadata, s.objects_metadata, s.metadata_sha256, s.tags,
  s.properties`);

/** The `streams` table. Every method is one round trip and throws StorageError. */
export class StreamRepository {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** Stores the stream unless its id is known (the first write wins), to be announced. */
  async insertIfAbsent(stream: StreamInfo, signal?: AbortSignal): Promise<'inserted' | 'exists'> {
    const dependencies = encodeUserDefinedTypes(stream.dependenciesMetadata);
    const objects = encodeUserDefinedTypes(stream.objectsMetadata);
    const rows = await this.#db.query(
      sql`
        WITH new AS (
          INSERT INTO streams (stream_id, process_id, dependencies_metadata, objects_metadata,
            metadata_sha256, tags, properties)
          VALUES (${stream.streamId}, ${stream.processId}, ${dependencies}, ${objects},
            ${metadataSha256(stream, dependencies, objects)}, ${stream.tags.map(storableText)}::text[],
            ${storableProperties(stream.properties)}::jsonb)
          ON CONFLICT (stream_id) DO NOTHING
          RETURNING stream_id)
        INSERT INTO unannounced (kind, id) SELECT 'stream', stream_id FROM new RETURNING id`,
      signal,
    );
    return rows.length === 1 ? 'inserted' : 'exists';
  }

  async find(id: StreamId, signal?: AbortSignal): Promise<SourceStream | undefined> {
    const rows = await this.#db.query<StreamRow>(
      sql`SELECT ${STREAM_COLUMNS} FROM streams s WHERE s.stream_id = ${id}`,
      signal,
    );
    return sourceStreamsOf(rows)[0];
  }

  /** Without the metadata, which may be large. */
  async findOwner(id: StreamId, signal?: AbortSignal): Promise<StreamOwner | undefined> {
    const statement = sql`SELECT process_id, tags FROM streams WHERE stream_id = ${id}`;
    const [row] = await this.#db.query<Pick<StreamRow, 'process_id' | 'tags'>>(
      prepared('streams-owner', statement),
      signal,
    );
    return row && { processId: row.process_id, tags: row.tags };
  }

  /**
   * The span streams of a process that have blocks, by id. They are never found by a time: a stream registered
   * long before the time asked for still counts.
   */
  async listCpuStreamsOf(processId: ProcessId, signal?: AbortSignal): Promise<SourceStream[]> {
    const rows = await this.#db.query<StreamRow>(
      sql`SELECT ${STREAM_COLUMNS} FROM streams s
        WHERE s.process_id = ${processId} AND s.tags @> '{cpu}'
          AND EXISTS (SELECT FROM blocks b
            WHERE b.process_id = s.process_id AND b.stream_id = s.stream_id)
        ORDER BY s.stream_id`,
      signal,
    );
    return sourceStreamsOf(rows);
  }

  /** Streams that a crash or an outage of the bus left unannounced, oldest first. */
  async listUnannounced(
    filter: UnannouncedFilter,
    signal?: AbortSignal,
  ): Promise<UnannouncedStream[]> {
    const ids = await listUnannouncedIds(this.#db, 'stream', filter, signal);
    if (ids.length === 0) return [];
    const rows = await this.#db.query<{
      stream_id: StreamId;
      process_id: ProcessId;
      tags: string[];
      insert_us: bigint;
    }>(
      sql`SELECT stream_id, process_id, tags, unix_us(insert_time) AS insert_us FROM streams
        WHERE stream_id = ANY(${ids}::uuid[]) ORDER BY insert_time`,
      signal,
    );
    return rows.map((row) => ({
      streamId: row.stream_id,
      processId: row.process_id,
      tags: row.tags,
      insertTimeUs: row.insert_us,
    }));
  }

  async markAnnounced(ids: readonly StreamId[], signal?: AbortSignal): Promise<void> {
    await markAnnounced(this.#db, 'stream', ids, signal);
  }
}

/** Decodes rows; streams of a process mostly share their metadata, so each distinct one is decoded once. */
export function sourceStreamsOf(rows: readonly StreamRow[]): SourceStream[] {
  const decoded = new Map<string, Pick<StreamInfo, 'dependenciesMetadata' | 'objectsMetadata'>>();
  return rows.map((row) => {
    const key = row.metadata_sha256.toHex();
    let metadata = decoded.get(key);
    if (metadata === undefined) {
      metadata = {
        dependenciesMetadata: decodeUserDefinedTypes(row.dependencies_metadata),
        objectsMetadata: decodeUserDefinedTypes(row.objects_metadata),
      };
      decoded.set(key, metadata);
    }
    return {
      streamId: row.stream_id,
      processId: row.process_id,
      tags: row.tags,
      properties: row.properties,
      ...(metadata as {
        dependenciesMetadata: UserDefinedType[];
        objectsMetadata: UserDefinedType[];
      }),
      metadataSha256: row.metadata_sha256,
    };
  });
}

/** Over everything of a stream that rows depend on. Lengths first, so that no byte moves from one part to the next unseen. */
function metadataSha256(
  stream: StreamInfo,
  dependencies: Uint8Array,
  objects: Uint8Array,
): Uint8Array {
  const properties = Object.entries(stream.properties).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const rest = Buffer.from(JSON.stringify([stream.tags, properties]));
  const hash = createHash('sha256');
  for (const part of [dependencies, objects, rest]) hash.update(`${part.length}:`).update(part);
  return hash.digest();
}
