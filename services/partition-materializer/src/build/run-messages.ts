/** What travels between the service's thread and its run workers. */

import type { Nanoseconds } from '@tracelake/domain';
import type { RowColumns, RunContext, RunNotes, SourceBlock } from '@tracelake/lakehouse';
import type { BlockToDecode } from '../decode/decode-messages.ts';

/** Where the rows of a run go; nothing is written when there are none. */
export interface RunFile {
  readonly path: string;
  readonly rowGroupRows: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface RunStart {
  /** The module whose export `view` folds the blocks. */
  readonly moduleUrl: string;
  readonly context: RunContext;
  readonly carryIn: Uint8Array | undefined;
}

export type RunCommand =
  | ({ readonly kind: 'start' } & RunStart)
  | { readonly kind: 'add'; readonly block: SourceBlock; readonly parsed: unknown }
  /** Decodes the block first, on the run's own thread. */
  | { readonly kind: 'decodeAndAdd'; readonly block: BlockToDecode }
  | { readonly kind: 'finish'; readonly file: RunFile }
  /** The run is of no more use; a file being written is given up. */
  | { readonly kind: 'drop' };

export interface RunCall {
  readonly callId: number;
  readonly runId: number;
  readonly command: RunCommand;
}

/** A run whose rows are in its file. */
export interface FinishedRun {
  readonly rowCount: number;
  readonly sizeBytes: number;
  readonly minEventNs: Nanoseconds | undefined;
  readonly maxEventNs: Nanoseconds | undefined;
  readonly carryOut: Uint8Array | undefined;
  readonly tail: RowColumns | undefined;
  readonly notes: RunNotes;
}

export interface RunFailure {
  readonly code: string | undefined;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What comes of `finish`; of `decodeAndAdd` why the block cannot be decoded; of the others nothing. */
export interface RunResults {
  readonly finished?: FinishedRun;
  readonly undecodable?: string;
}

export type RunReply =
  | { readonly callId: number; readonly results: RunResults }
  | { readonly callId: number; readonly failure: RunFailure };
