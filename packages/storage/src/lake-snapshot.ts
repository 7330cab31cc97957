/** Everything that planning needs of any set of view instances, as of one moment. */
import type { Nanoseconds } from '@tracelake/domain';
import {
  type InstanceSnapshot,
  type ProcessSnapshotRequest,
  readInstanceSnapshot,
  readProcessSnapshot,
  type SnapshotRequest,
  type SnapshotView,
} from './partition-snapshot.ts';
import type { Queryable } from './postgres/database.ts';
import { nsToMicroseconds } from './postgres/microseconds.ts';
import { sql } from './postgres/sql.ts';

/** A view over all processes: one instance for each that has blocks of the view's tag. */
export interface GlobalRequest {
  readonly view: SnapshotView;
  readonly schemaHash: string;
  /** Processes whose blocks all lie outside are left out. Inclusive at both ends. */
  readonly blocksBetween?: { readonly beginNs: Nanoseconds; readonly endNs: Nanoseconds };
}

export interface LakeSnapshotRequest {
  readonly instances: readonly SnapshotRequest[];
  /** Views whose instance is the process. */
  readonly globals: readonly GlobalRequest[];
  /** Every instance that a process has in some views. */
  readonly processes: readonly ProcessSnapshotRequest[];
}

export interface LakeSnapshot {
  /** Each once, in no particular order; an instance that is not known is there and wants nothing. */
  readonly instances: readonly InstanceSnapshot[];
}

/** Run it in a REPEATABLE READ transaction. */
export async function readLakeSnapshot(
  db: Queryable,
  request: LakeSnapshotRequest,
): Promise<LakeSnapshot> {
  const found = new Map<string, InstanceSnapshot>();
  const add = (one: InstanceSnapshot) => found.set(`${one.viewSet}/${one.instance}`, one);
  for (const process of request.processes) {
    const { instances, ...context } = await readProcessSnapshot(db, process);
    for (const state of instances) add({ ...context, ...state });
  }
  for (const instance of await listInstances(db, request)) {
    if (found.has(`${instance.view.name}/${instance.instance}`)) continue;
    add(await readInstanceSnapshot(db, instance));
  }
  return { instances: [...found.values()] };
}

async function listInstances(
  db: Queryable,
  { instances, globals }: LakeSnapshotRequest,
): Promise<SnapshotRequest[]> {
  const listed = [...instances];
  for (const { view, schemaHash, blocksBetween } of globals) {
    const beginUs = blocksBetween ? nsToMicroseconds(blocksBetween.beginNs) : null;
    const endUs = blocksBetween ? nsToMicroseconds(blocksBetween.endNs) : null;
    const rows = await db.query<{ process_id: string }>(sql`
      SELECT DISTINCT s.process_id FROM streams s
      JOIN processes p ON p.process_id = s.process_id
      WHERE s.tags @> ARRAY[${view.streamTag}::text] AND EXISTS (
        SELECT FROM blocks b WHERE b.stream_id = s.stream_id AND b.process_id = s.process_id
          AND (${endUs}::bigint IS NULL OR b.begin_time <= from_unix_us(${endUs}::bigint))
          AND (${beginUs}::bigint IS NULL OR b.end_time >= from_unix_us(${beginUs}::bigint)))
      ORDER BY s.process_id`);
    listed.push(...rows.map((row) => ({ view, schemaHash, instance: row.process_id })));
  }
  return listed;
}
