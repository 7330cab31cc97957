import { CliError } from '../cli-error.ts';
import { callQuery, readHeader, readRows } from '../client/query-call.ts';
import type { Connection } from '../client/service-endpoints.ts';
import type { CommandContext } from '../command.ts';
import type { RangeArguments } from '../output/time-argument.ts';
import type { LakeHoldings } from './cost-model.ts';

/**
 * Asks the query service what the lake holds: blocks that came in the range and what was built of blocks that did.
 * Throws CliError.
 */
export async function readHoldings(
  connection: Connection,
  range: RangeArguments,
  context: CommandContext,
): Promise<LakeHoldings> {
  const response = await callQuery(
    connection,
    { sql: holdingsSql(range), params: paramsOf(range), format: 'csv' },
    context,
  );
  const rows = readRows(response, context.signal)[Symbol.asyncIterator]();
  await readHeader(rows);
  const row = await rows.next();
  const values = row.done === true ? [] : row.value.map((cell) => Number(cell ?? Number.NaN));
  const [events, blocks, rawBytes, partitionFiles, partitionBytes] = values;
  const isWhole = values.length === 5 && values.every((value) => Number.isFinite(value));
  if (!isWhole || events === undefined || blocks === undefined || rawBytes === undefined) {
    throw new CliError('cli.bad-answer', 'the query service answered without what the lake holds');
  }
  return {
    events,
    blocks,
    rawBytes,
    partitionFiles: partitionFiles ?? 0,
    partitionBytes: partitionBytes ?? 0,
  };
}

/** A partition without rows has no file. */
function holdingsSql({ begin, end }: RangeArguments): string {
  const terms = (column: string) => {
    const conditions: string[] = [];
    if (begin !== undefined) conditions.push(`${column} >= $1::TIMESTAMP_NS`);
    if (end !== undefined) {
      conditions.push(`${column} <= $${begin === undefined ? 1 : 2}::TIMESTAMP_NS`);
    }
    return conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  };
  return `SELECT b.events, b.blocks, b.bytes, p.files, p.bytes
    FROM (SELECT coalesce(sum(nb_objects), 0) AS events, count(*) AS blocks,
        coalesce(sum(payload_size), 0) AS bytes FROM blocks${terms('insert_time')}) b,
      (SELECT count(*) FILTER (file_size > 0) AS files, coalesce(sum(file_size), 0) AS bytes
        FROM list_partitions()${terms('begin_insert_time')}) p`;
}

function paramsOf({ begin, end }: RangeArguments): string[] {
  return [begin, end].filter((time) => time !== undefined);
}
