import type { SpanScope } from '@tracelake/transit';

/**
 * The order of scopes by their texts and lines: the last word between spans that are equal in everything else,
 * within a file and in the merge of files alike. Texts stand by their UTF-16 code units.
 */
export function compareSpanScopes(
  a: Omit<SpanScope, 'hash'> | undefined,
  b: Omit<SpanScope, 'hash'> | undefined,
): number {
  if (a === undefined || b === undefined) return 0;
  return (
    compare(a.name, b.name) ||
    compare(a.target, b.target) ||
    compare(a.filename, b.filename) ||
    compare(a.line, b.line)
  );
}

function compare<T extends string | number>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
