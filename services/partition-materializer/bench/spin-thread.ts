/** The body of a thread that only computes, the same for each message of a kind. */

import { parentPort } from 'node:worker_threads';
import { measureReference } from '@tracelake/test-kit';
import type { SpinKind } from './spinners.ts';

/** Each some 0.4 s on a core of 2024. */
const SPINS: Readonly<Record<SpinKind, () => unknown>> = {
  'whole core': () => spinWide(400_000_000),
  'one chain': () => spinChain(400_000_000),
  'reference loop': measureReference,
};

parentPort?.on('message', (kind: SpinKind) => {
  parentPort?.postMessage(SPINS[kind]());
});

/** A multiplication takes three or four cycles, and each waits for the one before. */
function spinChain(steps: number): number {
  let state = 1;
  for (let step = 0; step < steps; step++) state = (Math.imul(state, 1664525) + 1013904223) | 0;
  return state;
}

/** Four chains, of which none waits for another: a multiplication a cycle, as many as a core can. */
function spinWide(steps: number): number {
  let first = 1;
  let second = 2;
  let third = 3;
  let fourth = 4;
  for (let step = 0; step < steps; step++) {
    first = (Math.imul(first, 1664525) + 1013904223) | 0;
    second = (Math.imul(second, 1664525) + 1013904223) | 0;
    third = (Math.imul(third, 1664525) + 1013904223) | 0;
    fourth = (Math.imul(fourth, 1664525) + 1013904223) | 0;
  }
  return first ^ second ^ third ^ fourth;
}
