/** A view whose parser does what the block's `objectCount` says, to see what becomes of its worker. */

import type { ParseInput } from '@tracelake/lakehouse';

interface Parsed {
  readonly values: Float64Array<ArrayBuffer>;
  readonly hasObjects: boolean;
}

export const DECODE = 1;
export const THROW = 2;
export const HANG = 3;
export const EXIT = 4;
export const EAT_MEMORY = 5;

export const view = {
  parseBlock({ block, payload }: ParseInput): Parsed {
    switch (block.objectCount) {
      case THROW:
        throw new Error('this block is bad');
      case HANG:
        for (;;);
      case EXIT:
        return process.exit(7);
      case EAT_MEMORY: {
        const eaten: string[][] = [];
        for (let index = 0; ; index++) {
          eaten.push(Array.from({ length: 1000 }, (_, item) => `${index} ${item}`));
        }
      }
      default:
        return { values: Float64Array.of(1, 2, 3), hasObjects: payload.objects.length > 0 };
    }
  },
  transferList: (parsed: Parsed) => [parsed.values.buffer],
};
