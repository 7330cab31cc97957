/**
 * How long the keys of maps get while `work` runs. Strings of 16,384 characters and more have hashes that collide
 * when their lengths are equal, so a bound on keys bounds the work of maps where a clock would only guess at it.
 */
export function longestMapKey(work: () => void): number {
  const { set } = Map.prototype;
  let longest = 0;
  Map.prototype.set = function watched(this: Map<unknown, unknown>, key: unknown, value: unknown) {
    if (typeof key === 'string' && key.length > longest) longest = key.length;
    return set.call(this, key, value);
  };
  try {
    work();
  } finally {
    Map.prototype.set = set;
  }
  return longest;
}
