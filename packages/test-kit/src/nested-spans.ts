import type { ScopeSpec, ThreadRecorder } from './thread-recorder.ts';

export interface NestedSpansOptions {
  readonly spanCount: number;
  /** Spans open at once at most; 8 by default. */
  readonly depthMax?: number;
  /** Relative ticks of the first event. */
  readonly beginTicks?: number;
  /** Between one event and the next; 100 by default. */
  readonly ticksPerEvent?: number;
  /** A block is flushed when its events reach this many bytes; never by default. */
  readonly blockBytesMax?: number;
  readonly scopes?: readonly ScopeSpec[];
  /** Called after each flush, to send the requests before there are too many. */
  readonly onFlush?: () => void;
}

const DEFAULT_SCOPES: readonly ScopeSpec[] = Array.from({ length: 64 }, (_, index) => ({
  name: `function_${index}`,
  target: 'synthetic',
  file: `src/module_${index % 8}.rs`,
  line: index + 1,
}));

/**
 * Records towers of spans: each opens to the full depth, then closes. All spans are closed at the end, and the
 * last block stays open. Returns the relative ticks of the last event.
 */
export function recordNestedSpans(thread: ThreadRecorder, options: NestedSpansOptions): number {
  const { spanCount, depthMax = 8, ticksPerEvent = 100, onFlush } = options;
  const scopes = options.scopes ?? DEFAULT_SCOPES;
  const blockBytesMax = options.blockBytesMax ?? Number.POSITIVE_INFINITY;
  let at = options.beginTicks ?? 0;
  for (let opened = 0; opened < spanCount; opened += depthMax) {
    const depth = Math.min(depthMax, spanCount - opened);
    for (let level = 0; level < depth; level += 1) {
      thread.begin(scopes[(opened + level) % scopes.length] as ScopeSpec, at);
      at += ticksPerEvent;
    }
    for (let level = depth - 1; level >= 0; level -= 1) {
      thread.end(scopes[(opened + level) % scopes.length] as ScopeSpec, at);
      at += ticksPerEvent;
    }
    if (thread.objectBytes < blockBytesMax) continue;
    thread.flushBlock();
    onFlush?.();
  }
  return at - ticksPerEvent;
}
