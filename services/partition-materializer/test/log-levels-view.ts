/** A view of one file, as anybody may add one: log lines by severity, with no message. */

import type { ParseInput, RunResult, ViewSet } from '@tracelake/lakehouse';
import { decodeLogBlock } from '@tracelake/transit';

interface ParsedLevels {
  readonly times: BigInt64Array<ArrayBuffer>;
  readonly levels: Int32Array<ArrayBuffer>;
}

export const view: ViewSet<ParsedLevels> = {
  name: 'log_levels',
  schemaVersion: 1,
  columns: [
    { name: 'clock', type: 'i64' },
    { name: 'time', type: 'timestamp' },
    { name: 'level', type: 'i32' },
  ],
  instanceRule: 'process',
  streamTag: 'log',
  eager: true,
  folds: false,
  timeColumns: { begin: 'time', end: 'time' },
  sortColumns: ['time'],
  moduleUrl: import.meta.url,
  parseBlock({ stream, block, payload, limits }: ParseInput): ParsedLevels {
    const { ticks, level } = decodeLogBlock({
      dependenciesMetadata: stream.dependenciesMetadata,
      objectsMetadata: stream.objectsMetadata,
      payload,
      objectOffset: block.objectOffset,
      limits,
    });
    return { times: BigInt64Array.from(ticks), levels: Int32Array.from(level) };
  },
  transferList: ({ times, levels }) => [times.buffer, levels.buffer],
  createRunBuilder: ({ calibration, process }) => {
    const times: bigint[] = [];
    const levels: number[] = [];
    const nsPerTick = 1e9 / calibration.frequencyHz;
    return {
      keepsParsed: false,
      add: (_block, parsed) => {
        for (const tick of parsed.times) {
          const elapsedNs = Math.round(Number(tick - calibration.startTicks) * nsPerTick);
          times.push(process.startNs + BigInt(elapsedNs));
        }
        levels.push(...parsed.levels);
      },
      finish: () => resultOf(BigInt64Array.from(times), Int32Array.from(levels)),
    };
  },
};

function resultOf(times: BigInt64Array, levels: Int32Array): RunResult {
  const rowCount = times.length;
  const sorted = times.toSorted();
  return {
    rows: {
      rowCount,
      columns: [
        { type: 'i64', values: times },
        { type: 'timestamp', values: times },
        { type: 'i32', values: levels },
      ],
    },
    minEventNs: sorted[0] as RunResult['minEventNs'],
    maxEventNs: sorted.at(-1) as RunResult['maxEventNs'],
    carryOut: undefined,
    tail: undefined,
    notes: { mismatchedEnds: 0, orphanEnds: 0, skippedEvents: 0, droppedSpans: 0 },
  };
}
