import { decodeMetricBlock } from '@tracelake/transit';
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

interface MetricRows extends BlockRows {
  readonly target: Uint32Array;
  readonly name: Uint32Array;
  readonly unit: Uint32Array;
  readonly value: Float64Array;
  readonly properties: Uint32Array;
  readonly texts: string[];
}

/** Measures of a process, one row each. Integer metrics are doubles here, and those in ticks are seconds. */
export const view: ViewSet<MetricRows> = {
  name: 'measures',
  schemaVersion: 1,
  columns: [
    ...LEADING_COLUMNS,
    { name: 'time', type: 'timestamp' },
    { name: 'target', type: 'string' },
    { name: 'name', type: 'string' },
    { name: 'unit', type: 'string' },
    { name: 'value', type: 'f64' },
    { name: 'properties', type: 'string' },
    PROCESS_PROPERTIES_COLUMN,
  ],
  instanceRule: 'process',
  streamTag: 'metrics',
  eager: true,
  folds: false,
  timeColumns: { begin: 'time', end: 'time' },
  sortColumns: ['time', 'stream_id'],
  moduleUrl: import.meta.url,

  parseBlock(input) {
    const { calibration } = input;
    const { frequencyHz } = calibration;
    const decoded = decodeMetricBlock({ ...decodeInputOf(input), frequencyHz });
    return {
      rowCount: decoded.count,
      eventIds: decoded.eventIds,
      times: timesOfTicks(calibration, decoded.ticks),
      skippedEvents: decoded.skippedEvents,
      target: decoded.target,
      name: decoded.name,
      unit: decoded.unit,
      value: decoded.value,
      properties: decoded.properties,
      texts: decoded.strings,
    };
  },

  transferList: ({ eventIds, times, target, name, unit, value, properties }) =>
    [eventIds, times, target, name, unit, value, properties].map(
      ({ buffer }) => buffer as ArrayBuffer,
    ),

  createRunBuilder: (context) =>
    new BlockRowsRunBuilder((gathered) => [
      ...leadingColumns(gathered, context),
      { type: 'timestamp', values: gathered.bigints((rows) => rows.times) },
      gathered.texts(({ target, texts }) => ({ codes: target, texts })),
      gathered.texts(({ name, texts }) => ({ codes: name, texts })),
      gathered.texts(({ unit, texts }) => ({ codes: unit, texts })),
      { type: 'f64', values: gathered.doubles((rows) => rows.value) },
      gathered.texts(({ properties, texts }) => ({ codes: properties, texts })),
      processPropertiesColumn(gathered, context),
    ]),
};
