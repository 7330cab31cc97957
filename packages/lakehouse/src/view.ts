/**
 * What a view set is: a schema and how blocks become its rows. `parseBlock` is pure and runs in worker
 * threads; a `RunBuilder` puts the parsed blocks of one run together on the writer's side.
 */

import type {
  BlockPayload,
  Nanoseconds,
  ProcessInfo,
  StreamId,
  TickCalibration,
} from '@tracelake/domain';
import type { SourceBlock, SourceStream } from './partition.ts';
import type { ColumnDefinition, RowColumns } from './row-columns.ts';

export interface ParseLimits {
  /** Per buffer of a block, checked before allocation. */
  readonly decompressedBytesMax: number;
}

export interface ParseInput {
  readonly process: ProcessInfo;
  readonly stream: SourceStream;
  readonly block: SourceBlock;
  readonly payload: BlockPayload;
  readonly calibration: TickCalibration;
  readonly limits: ParseLimits;
}

export interface RunContext {
  readonly process: ProcessInfo;
  readonly streams: ReadonlyMap<StreamId, SourceStream>;
  readonly calibration: TickCalibration;
}

export interface RunNotes {
  /** End events whose span was open but not the innermost one. */
  readonly mismatchedEnds: number;
  /** End events whose begin was never seen in their chain. */
  readonly orphanEnds: number;
  /** Spans deeper than the depth limit; they have no row. */
  readonly droppedSpans: number;
  /** Events of types this version does not know. */
  readonly skippedEvents: number;
}

export interface RunResult {
  readonly rows: RowColumns;
  /** Undefined when there is no row. */
  readonly minEventNs: Nanoseconds | undefined;
  readonly maxEventNs: Nanoseconds | undefined;
  /**
   * What the next run starts from. Undefined for views that do not fold, and while nothing but undecodable
   * blocks has been seen: the next run then starts as the first one does.
   */
  readonly carryOut: Uint8Array | undefined;
  /** The rows there would be besides if the chain ended here; undefined when none. */
  readonly tail: RowColumns | undefined;
  readonly notes: RunNotes;
}

/** Folds the parsed blocks of one run. Blocks that cannot be parsed are left out: their data is missing. */
export interface RunBuilder<Parsed> {
  /** Whether arrays of parsed blocks are kept until the run is finished; otherwise each is done with after its `add`. */
  readonly keepsParsed: boolean;
  /** In the order of the plan. Keeps nothing of `block`. */
  add(block: SourceBlock, parsed: Parsed): void;
  /** Once, at the end. Without any block it gives no rows, the carry it began with, and the tail. */
  finish(): RunResult;
}

export interface ViewSet<Parsed = unknown> {
  readonly name: string;
  /** Changes whenever the same blocks would give other rows. */
  readonly schemaVersion: number;
  readonly columns: readonly ColumnDefinition[];
  readonly instanceRule: 'process' | 'stream';
  /** Blocks of streams with this tag belong to the view. */
  readonly streamTag: string;
  /** Built as blocks arrive, with no request. */
  readonly eager: boolean;
  /** A run needs the carry of the run before it. */
  readonly folds: boolean;
  readonly timeColumns: { readonly begin: string; readonly end: string };
  readonly sortColumns: readonly string[];
  /** `import.meta.url` of the view's file, which exports it as `view`: workers import it. */
  readonly moduleUrl: string;
  /** What comes back shares no memory with the payload. */
  parseBlock(input: ParseInput): Parsed;
  /** The buffers of a parsed block that may be moved to another thread. */
  transferList(parsed: Parsed): ArrayBuffer[];
  createRunBuilder(context: RunContext, carryIn: Uint8Array | undefined): RunBuilder<Parsed>;
}
