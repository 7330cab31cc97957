/** How often the resident memory is looked at: between two looks a query can take some 100 MB. */
const INTERVAL_MS = 25;

/**
 * Tells once when this process holds more than `bytesMax`: DuckDB's own limit counts its buffers, not the
 * strings and lists that functions make.
 */
export function watchOwnMemory(bytesMax: number, onExceeded: (message: string) => void): void {
  const timer = setInterval(() => {
    const rss = process.memoryUsage.rss();
    if (rss <= bytesMax) return;
    clearInterval(timer);
    const held = Math.round(rss / 2 ** 20);
    onExceeded(
      `the query holds ${held} MiB of memory, ${Math.round(bytesMax / 2 ** 20)} are allowed`,
    );
  }, INTERVAL_MS);
}
