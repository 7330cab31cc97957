/** A view whose run does what the first byte of its carry says, to see what becomes of its worker. */

import type { RunBuilder, RunContext, RunResult } from '@tracelake/lakehouse';
import { view as misbehavingParser } from './misbehaving-view.ts';

const NO_NOTES = { mismatchedEnds: 0, orphanEnds: 0, droppedSpans: 0, skippedEvents: 0 };

export const FOLD = 1;
export const THROW = 2;
export const EXIT = 3;
export const HANG = 4;
/** Gives more rows than are written in a moment. */
export const MANY_ROWS = 5;

export const view = {
  moduleUrl: import.meta.url,
  columns: [{ name: 'value', type: 'f64' as const }],
  /** Does what the block's `objectCount` says. */
  parseBlock: misbehavingParser.parseBlock,
  transferList: ({ values }: { values: Float64Array<ArrayBuffer> }) => [values.buffer],

  createRunBuilder(
    _context: RunContext,
    carryIn: Uint8Array,
  ): RunBuilder<{ values: Float64Array }> {
    const behaviour = carryIn[0];
    const parts: Float64Array[] = [];
    return {
      keepsParsed: true,
      add: (_block, { values }) => {
        if (behaviour === EXIT) process.exit(7);
        while (behaviour === HANG);
        parts.push(values);
      },
      finish: (): RunResult => {
        if (behaviour === THROW) throw new Error('this run is bad');
        const values =
          behaviour === MANY_ROWS
            ? Float64Array.from({ length: 4_000_000 }, Math.random)
            : Float64Array.from(parts.flatMap((part) => [...part]));
        return {
          rows: { rowCount: values.length, columns: [{ type: 'f64', values }] },
          minEventNs: undefined,
          maxEventNs: undefined,
          carryOut: carryIn,
          tail: undefined,
          notes: NO_NOTES,
        };
      },
    };
  },
};
