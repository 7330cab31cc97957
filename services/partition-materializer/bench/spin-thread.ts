/** The body of a thread that only computes, the same for each message of a kind. */

import { parentPort } from 'node:worker_threads';
import { measureReference } from '@tracelake/test-kit';
import type { SpinKind } from './spinners.ts';

const ITERATIONS = 400_000_000;

parentPort?.on('message', (kind: SpinKind) => {
  parentPort?.postMessage(kind === 'registers' ? spin() : measureReference());
});

function spin(): number {
  let state = 1;
  for (let index = 0; index < ITERATIONS; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
  }
  return state;
}
