import { decodeLogBlock, type Utf8Rows } from '@tracelake/transit';
import { decodeInputOf } from '../block-decode-input.ts';
import { type BlockRows, BlockRowsRunBuilder } from '../block-rows.ts';
import {
  LEADING_COLUMNS,
  leadingColumns,
  PROCESS_PROPERTIES_COLUMN,
  processPropertiesColumn,
} from '../process-columns.ts';
import { timesOfTicks } from '../tick-conversion.ts';
import type { ViewSet } from '../view.ts';

interface LogRows extends BlockRows {
  readonly level: Int32Array;
  readonly target: Uint32Array;
  readonly msg: Utf8Rows;
  readonly properties: Uint32Array;
  readonly texts: string[];
}

/** Log entries of a process, one row each. */
export const view: ViewSet<LogRows> = {
  name: 'log_entries',
  schemaVersion: 1,
  columns: [
    ...LEADING_COLUMNS,
    { name: 'time', type: 'timestamp' },
    { name: 'target', type: 'string' },
    { name: 'level', type: 'i32' },
    { name: 'msg', type: 'string' },
    { name: 'properties', type: 'string' },
    PROCESS_PROPERTIES_COLUMN,
  ],
  instanceRule: 'process',
  streamTag: 'log',
  eager: true,
  folds: false,
  timeColumns: { begin: 'time', end: 'time' },
  sortColumns: ['time', 'stream_id'],
  moduleUrl: import.meta.url,

  parseBlock(input) {
    const decoded = decodeLogBlock(decodeInputOf(input));
    return {
      rowCount: decoded.count,
      eventIds: decoded.eventIds,
      times: timesOfTicks(input.calibration, decoded.ticks),
      skippedEvents: decoded.skippedEvents,
      level: decoded.level,
      target: decoded.target,
      msg: decoded.msgUtf8,
      properties: decoded.properties,
      texts: decoded.strings,
    };
  },

  transferList: ({ eventIds, times, level, target, msg, properties }) =>
    [eventIds, times, level, target, properties, msg.bytes, msg.starts, msg.lengths].map(
      ({ buffer }) => buffer as ArrayBuffer,
    ),

  createRunBuilder: (context) =>
    new BlockRowsRunBuilder((gathered) => [
      ...leadingColumns(gathered, context),
      { type: 'timestamp', values: gathered.bigints((rows) => rows.times) },
      gathered.texts(({ target, texts }) => ({ codes: target, texts })),
      { type: 'i32', values: gathered.integers((rows) => rows.level) },
      gathered.utf8Texts((rows) => rows.msg),
      gathered.texts(({ properties, texts }) => ({ codes: properties, texts })),
      processPropertiesColumn(gathered, context),
    ]),
};
