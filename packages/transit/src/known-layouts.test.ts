import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachSeed, seededRandom } from '@tracelake/test-kit';
import { inputOf } from '../test/block-inputs.ts';
import { mutate } from '../test/mutation.ts';
import { randomSpanBlock } from '../test/random-span-block.ts';
import type { BlockDecodeInput } from './block-decoding.ts';
import {
  decodeAsyncSpanBlock,
  decodeThreadSpanBlock,
  type SpanDecodeOptions,
} from './decode-span-blocks.ts';
import { TransitDecodeError } from './transit-decode-error.ts';

type Decode = (input: BlockDecodeInput, options?: SpanDecodeOptions) => { readonly count: number };

const decoders: readonly [string, Decode][] = [
  ['thread', decodeThreadSpanBlock],
  ['async', decodeAsyncSpanBlock],
];

/** The columns, or what the refusal says. */
function outcomeOf(decode: () => { readonly count: number }): unknown {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof TransitDecodeError)) throw error;
    const { code, message, details } = error;
    return { code, message, details };
  }
}

for (const [kind, decode] of decoders) {
  test(`${kind} spans of any layout are the same from the tables as from the plans`, async (t) => {
    let decoded = 0;
    await forEachSeed(t, { first: 1, count: 300 }, (seed) => {
      const input = {
        ...inputOf(randomSpanBlock(seededRandom(seed))),
        objectOffset: 2n ** 32n - 20n,
      };
      const columns = decode(input);
      assert.deepEqual(columns, decode(input, { isGeneral: true }));
      decoded += columns.count;
    });
    assert(decoded > 1000, `${decoded} events`);
  });

  test(`${kind} spans cut or damaged anywhere are refused with the same words by both loops`, async (t) => {
    let refused = 0;
    await forEachSeed(t, { first: 1, count: 100 }, (seed) => {
      const random = seededRandom(seed);
      const block = randomSpanBlock(random);
      for (let round = 0; round < 12; round += 1) {
        const objects =
          round % 3 === 0
            ? block.objects.subarray(0, random.int(block.objects.length + 1))
            : mutate(block.objects, random);
        const dependencies =
          round % 4 === 0 ? mutate(block.dependencies, random) : block.dependencies;
        const whole = inputOf({ ...block, objects, dependencies });
        const recordsMax = round % 6 === 0 ? random.int(60) : Number.POSITIVE_INFINITY;
        const input = { ...whole, limits: { ...whole.limits, recordsMax } };
        const outcome = outcomeOf(() => decode(input));
        assert.deepEqual(
          outcome,
          outcomeOf(() => decode(input, { isGeneral: true })),
        );
        if (outcome !== null && typeof outcome === 'object' && 'code' in outcome) refused += 1;
      }
    });
    assert(refused > 100, `${refused} refused`);
  });
}
