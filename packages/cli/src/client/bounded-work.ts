/**
 * Works on items as they come, so many at a time, and holds no more of them. The first failure stops the rest: their
 * signal fires, and it is thrown when all have ended.
 */
export async function workBounded<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  concurrency: number,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const iterator = iterate(items);
  const run = async (): Promise<void> => {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      either.throwIfAborted();
      await work(next.value, either);
    }
  };
  let failure: { readonly error: unknown } | undefined;
  const runs = Array.from({ length: concurrency }, async () => {
    try {
      await run();
    } catch (error) {
      failure ??= { error };
      stop.abort(error);
    }
  });
  await Promise.all(runs);
  await iterator.return(undefined);
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}

/** A generator queues the calls of several takers. */
async function* iterate<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
): AsyncGenerator<Item, void, void> {
  yield* items;
}
