import { assert, type ProcessId } from '@tracelake/domain';
import xxhash from 'xxhash-wasm';

const { h64 } = await xxhash();

/** xxh64 with seed 0 of the text's UTF-8 bytes. */
export function xxHash64OfText(text: string): bigint {
  return h64(text);
}

/** The lane of everything about a process: `xxh64(process id in hyphenated lower case) mod laneCount`. */
export function laneOf(processId: ProcessId, laneCount: number): number {
  assert(Number.isSafeInteger(laneCount) && laneCount > 0, 'there is at least one lane');
  return Number(h64(processId) % BigInt(laneCount));
}
