/** The columns that `log_entries` and `measures` begin and end with: whose event it is. */

import type { BlockRows, GatheredRows } from './block-rows.ts';
import { canonicalJson } from './canonical-json.ts';
import type { Column, ColumnDefinition } from './row-columns.ts';
import type { RunContext } from './view.ts';

export const LEADING_COLUMNS: readonly ColumnDefinition[] = [
  { name: 'process_id', type: 'string' },
  { name: 'stream_id', type: 'string' },
  { name: 'block_id', type: 'string' },
  { name: 'insert_time', type: 'timestamp' },
  { name: 'exe', type: 'string' },
  { name: 'username', type: 'string' },
  { name: 'computer', type: 'string' },
];

/** JSON text with sorted keys. */
export const PROCESS_PROPERTIES_COLUMN: ColumnDefinition = {
  name: 'process_properties',
  type: 'string',
};

export function leadingColumns(
  gathered: GatheredRows<BlockRows>,
  { process }: RunContext,
): Column[] {
  return [
    gathered.constantText(process.processId),
    gathered.blockTexts((block) => block.streamId),
    gathered.blockTexts((block) => block.blockId),
    gathered.insertTimes(),
    gathered.constantText(process.exe),
    gathered.constantText(process.username),
    gathered.constantText(process.computer),
  ];
}

export function processPropertiesColumn(
  gathered: GatheredRows<BlockRows>,
  { process }: RunContext,
): Column {
  return gathered.constantText(canonicalJson(process.properties));
}
