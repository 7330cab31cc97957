/** The body of a thread that only computes, the same for each message. */

import { parentPort } from 'node:worker_threads';

const ITERATIONS = 400_000_000;

parentPort?.on('message', () => {
  let state = 1;
  for (let index = 0; index < ITERATIONS; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
  }
  parentPort?.postMessage(state);
});
