import type { EngineErrorCode } from './engine-error.ts';

/** What a user needs to know of the differences from other dialects, at the error that they cause. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /No function matches.*'-\(TIMESTAMP_NS/s,
    'durations are epoch_ns(a) - epoch_ns(b), in nanoseconds',
  ],
  [
    /TIMESTAMP_NS.*TIMESTAMP WITH TIME ZONE|TIMESTAMP WITH TIME ZONE.*TIMESTAMP_NS/s,
    'cast now() and other times with a zone: now()::TIMESTAMP_NS',
  ],
  [/syntax error at or near "end"/i, 'end is a keyword: write "end" in double quotes'],
];

/** DuckDB's error as one of ours: its text is kept, without its advice on settings. */
export function describeFailure(text: string): { code: EngineErrorCode; message: string } {
  const message = withHint(text.split('\n\nPossible solutions:')[0] ?? text);
  if (/max_temp_directory_size|failed to offload/i.test(text)) {
    return {
      code: 'query.temp-space-limit',
      message: `the query needs more temporary space: ${message}`,
    };
  }
  if (
    /^(Out of Memory Error|std::bad_alloc)|bad allocation|Array buffer allocation failed/i.test(
      text,
    )
  ) {
    return { code: 'query.memory-limit', message: `the query needs more memory: ${message}` };
  }
  if (/Invalid string length|string longer than/i.test(text)) {
    return { code: 'query.result-too-large', message: 'a part of the result is too large' };
  }
  if (/max expression depth/i.test(text)) {
    return { code: 'query.too-deep', message };
  }
  if (/^Permission Error|configuration has been locked/i.test(text)) {
    return { code: 'query.function-refused', message };
  }
  if (/^(INTERNAL|FATAL) Error/i.test(text)) return { code: 'query.engine-failed', message };
  return { code: 'query.failed', message };
}

/** Appends what a statement of another dialect should say instead. */
function withHint(message: string): string {
  const hint = HINTS.find(([pattern]) => pattern.test(message))?.[1];
  return hint === undefined ? message : `${message}\n${hint}`;
}
