/** A small random generator that gives the same numbers for the same seed on every machine. */
export interface SeededRandom {
  readonly seed: number;
  /** A number in `[0, 1)`. */
  next(): number;
  /** A whole number in `[0, n)`. */
  int(n: number): number;
  pick<Item>(items: readonly Item[]): Item;
  /** Shuffles in place and returns the same array. */
  shuffle<Item>(items: Item[]): Item[];
}

/**
 * Makes a generator. Tests print the seed they use, so that a failure can be had again.
 * Source: Mulberry32, Tommy Ettinger, public domain.
 */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const int = (n: number): number => Math.floor(next() * n);
  return {
    seed,
    next,
    int,
    pick: <Item>(items: readonly Item[]): Item => {
      if (items.length === 0) throw new Error('cannot pick from an empty array');
      return items[int(items.length)] as Item;
    },
    shuffle: <Item>(items: Item[]): Item[] => {
      for (let index = items.length - 1; index > 0; index -= 1) {
        const other = int(index + 1);
        const swapped = items[index] as Item;
        items[index] = items[other] as Item;
        items[other] = swapped;
      }
      return items;
    },
  };
}
