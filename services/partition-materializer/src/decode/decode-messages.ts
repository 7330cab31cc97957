/** What travels between the service's thread and its decode workers. */

import { hasOwnMemory } from '@tracelake/domain';
import type { ParseInput } from '@tracelake/lakehouse';

/** `payload` is the object as stored; its buffer moves to the thread that decodes it, which frees it. */
export interface BlockToDecode {
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly input: Omit<ParseInput, 'payload'>;
}

export interface DecodeJob extends BlockToDecode {
  readonly jobId: number;
  /** The module whose export `view` decodes the block. */
  readonly moduleUrl: string;
}

export type DecodeOutcome =
  | { readonly outcome: 'decoded'; readonly parsed: unknown }
  | { readonly outcome: 'undecodable'; readonly reason: string };

export type DecodeReply = { readonly jobId: number } & (
  | DecodeOutcome
  /** The worker cannot do its work at all: no fault of the block. */
  | { readonly outcome: 'broken'; readonly reason: string }
);

/** Only memory of its own can move: a small object may lie in one that others use. */
export function movable(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  return hasOwnMemory(payload) ? payload : new Uint8Array(payload);
}
