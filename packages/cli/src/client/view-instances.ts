import { createViewRegistry, LakehouseError, type ViewSet } from '@tracelake/lakehouse';
import { usageError } from '../cli-error.ts';
import type { CommandContext } from '../command.ts';
import type { RangeArguments } from '../output/time-argument.ts';
import { callQuery, readHeader, readRows } from './query-call.ts';
import type { Connection } from './service-endpoints.ts';

export interface ViewInstance {
  /** A process id or a stream id, as the view has it. */
  readonly instance: string;
  readonly processId: string;
}

export interface InstancesRequest extends RangeArguments {
  readonly view: ViewSet;
  /** Of this process only. */
  readonly processId: string | undefined;
}

/** The view of the name. Throws a usage error that lists the views there are. */
export function getView(name: string): ViewSet {
  try {
    return createViewRegistry().get(name);
  } catch (error) {
    if (error instanceof LakehouseError) throw usageError(error.message);
    throw error;
  }
}

/** The instances of a view that telemetry has come for, as the query service knows them; ids only, all of them. */
export async function listInstances(
  connection: Connection,
  request: InstancesRequest,
  context: CommandContext,
): Promise<ViewInstance[]> {
  const { begin, end } = request;
  const sql = instancesSql(request);
  const response = await callQuery(connection, { sql, begin, end, format: 'csv' }, context);
  const rows = readRows(response, context.signal)[Symbol.asyncIterator]();
  await readHeader(rows);
  const instances: ViewInstance[] = [];
  for (let row = await rows.next(); row.done !== true; row = await rows.next()) {
    const [instance, processId] = row.value;
    if (instance && processId) instances.push({ instance, processId });
  }
  return instances;
}

/** Blocks are looked at only where a range needs them: a lake has far more of them than streams. */
function instancesSql({ view, processId, begin, end }: InstancesRequest): string {
  const instance = view.instanceRule === 'process' ? 'process_id' : 'stream_id';
  const isBounded = begin !== undefined || end !== undefined;
  const [table, tags] = isBounded ? ['blocks', '"streams.tags"'] : ['streams', 'tags'];
  const ofProcess = processId === undefined ? '' : ` AND process_id = '${processId}'`;
  return `SELECT DISTINCT ${instance} AS instance, process_id FROM ${table}
    WHERE array_has(${tags}, '${view.streamTag}')${ofProcess} ORDER BY process_id, instance`;
}
