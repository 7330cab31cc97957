/** Columns of what is read from the catalog database, and of what the planner makes of it. */

import type { CatalogTableName } from './source-ref.ts';
import { columnsFrom, type SqlColumn } from './sql-column.ts';

/** A table read from the catalog database. */
export interface CatalogTable {
  readonly name: CatalogTableName;
  readonly columns: readonly SqlColumn[];
}

const PROCESS_COLUMNS = columnsFrom(`
  process_id VARCHAR
  exe VARCHAR
  username VARCHAR
  realname VARCHAR
  computer VARCHAR
  distro VARCHAR
  cpu_brand VARCHAR
  tsc_frequency BIGINT
  start_time TIMESTAMP_NS
  start_ticks BIGINT
  insert_time TIMESTAMP_NS
  parent_process_id VARCHAR
  properties VARCHAR
  last_update_time TIMESTAMP_NS
  last_block_end_ticks BIGINT
  last_block_end_time TIMESTAMP_NS
`);

const STREAM_COLUMNS = columnsFrom(`
  stream_id VARCHAR
  process_id VARCHAR
  dependencies_metadata BLOB
  objects_metadata BLOB
  tags VARCHAR[]
  properties VARCHAR
  insert_time TIMESTAMP_NS
  format VARCHAR
  last_update_time TIMESTAMP_NS
`);

/** The names with a dot are names, not paths: `array_has("streams.tags", 'cpu')`. */
const BLOCK_COLUMNS = columnsFrom(`
  block_id VARCHAR
  stream_id VARCHAR
  process_id VARCHAR
  begin_time TIMESTAMP_NS
  begin_ticks BIGINT
  end_time TIMESTAMP_NS
  end_ticks BIGINT
  nb_objects INTEGER
  object_offset BIGINT
  payload_size BIGINT
  insert_time TIMESTAMP_NS
  streams.dependencies_metadata BLOB
  streams.objects_metadata BLOB
  streams.tags VARCHAR[]
  streams.properties VARCHAR
  streams.insert_time TIMESTAMP_NS
  streams.format VARCHAR
  processes.start_time TIMESTAMP_NS
  processes.start_ticks BIGINT
  processes.tsc_frequency BIGINT
  processes.exe VARCHAR
  processes.username VARCHAR
  processes.realname VARCHAR
  processes.computer VARCHAR
  processes.distro VARCHAR
  processes.cpu_brand VARCHAR
  processes.insert_time TIMESTAMP_NS
  processes.parent_process_id VARCHAR
  processes.properties VARCHAR
`);

const REJECTED_BLOCK_COLUMNS = columnsFrom(`
  block_id VARCHAR
  view_set VARCHAR
  reason VARCHAR
  rejected_at TIMESTAMP_NS
`);

export const CATALOG_TABLES: readonly CatalogTable[] = [
  { name: 'processes', columns: PROCESS_COLUMNS },
  { name: 'streams', columns: STREAM_COLUMNS },
  { name: 'blocks', columns: BLOCK_COLUMNS },
  { name: 'rejected_blocks', columns: REJECTED_BLOCK_COLUMNS },
];

export const LIST_PARTITIONS_COLUMNS = columnsFrom(`
  view_set_name VARCHAR
  view_instance_id VARCHAR
  begin_insert_time TIMESTAMP_NS
  end_insert_time TIMESTAMP_NS
  min_event_time TIMESTAMP_NS
  max_event_time TIMESTAMP_NS
  updated TIMESTAMP_NS
  file_path VARCHAR
  file_size BIGINT
  file_schema_hash VARCHAR
  source_data_hash VARCHAR
  num_rows BIGINT
`);

export const PARSE_BLOCK_COLUMNS = columnsFrom(`
  object_index BIGINT
  type_name VARCHAR
  value VARCHAR
`);
