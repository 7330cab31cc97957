import type { SeededRandom } from '@tracelake/test-kit';

/** Damages a copy the way disks, networks and attackers do: flipped bytes, absurd lengths, moved chunks. */
export function mutate(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const mutated = Uint8Array.from(bytes);
  if (mutated.length === 0) return mutated;
  const at = random.int(mutated.length);
  switch (random.int(3)) {
    case 0:
      for (let flips = 1 + random.int(4); flips > 0; flips -= 1)
        mutated[random.int(mutated.length)] = random.int(256);
      break;
    case 1:
      mutated.fill(0xff, at, at + 4);
      break;
    default:
      mutated.copyWithin(random.int(mutated.length), at, at + 8);
  }
  return mutated;
}
