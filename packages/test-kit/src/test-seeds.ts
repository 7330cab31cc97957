/** The seeds of a property test, and how to have a failing one again. */

import type { TestContext } from 'node:test';

export interface SeedRange {
  readonly first: number;
  readonly count: number;
}

/**
 * Runs `check` once for each seed of the range, or for the one that `TRACELAKE_TEST_SEED` names alone. What it
 * throws is thrown on with the seed in front.
 */
export async function forEachSeed(
  t: TestContext,
  { first, count }: SeedRange,
  check: (seed: number) => void | Promise<void>,
): Promise<void> {
  const only = process.env.TRACELAKE_TEST_SEED;
  const seeds =
    only === undefined
      ? Array.from({ length: count }, (_, index) => first + index)
      : [Number(only)];
  t.diagnostic(`seeds ${seeds[0]} to ${seeds.at(-1)}`);
  for (const seed of seeds) {
    try {
      await check(seed);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`seed ${seed} (TRACELAKE_TEST_SEED=${seed}): ${message}`, { cause: error });
    }
  }
}
