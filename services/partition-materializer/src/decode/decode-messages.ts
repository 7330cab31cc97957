/** What travels between the service's thread and its decode workers. */

import type { ParseInput } from '@tracelake/lakehouse';

/** A block to decode. `payload` is the object as stored; its buffer moves to the worker, which frees it. */
export interface DecodeJob {
  readonly jobId: number;
  /** The module whose export `view` decodes the block. */
  readonly moduleUrl: string;
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly input: Omit<ParseInput, 'payload'>;
}

export type DecodeReply =
  | { readonly jobId: number; readonly outcome: 'decoded'; readonly parsed: unknown }
  | { readonly jobId: number; readonly outcome: 'undecodable'; readonly reason: string }
  /** The worker cannot do its work at all: no fault of the block. */
  | { readonly jobId: number; readonly outcome: 'broken'; readonly reason: string };
