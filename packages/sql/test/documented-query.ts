/** The queries of `docs/queries.md`. */

import { readFileSync } from 'node:fs';
import { ensureExists } from '@tracelake/domain';
import type { NativeFixture } from '@tracelake/test-kit';

export interface DocumentedQuery {
  readonly title: string;
  /** The recording whose ids stand in for `{process}` and `{stream}`. */
  readonly recording: string;
  readonly sql: string;
}

export function documentedQueries(): DocumentedQuery[] {
  const text = readFileSync(new URL('../../../docs/queries.md', import.meta.url), 'utf8');
  return [...text.matchAll(/^### (.+)\n```sql ?(\w*)\n([\s\S]*?)```/gm)].map(
    ([, title = '', recording = '', sql = '']) => ({ title, recording: recording || 'small', sql }),
  );
}

/** The thread of a recording that has most spans. */
export function busiestStream(fixture: NativeFixture): string {
  const streams = fixture.expectedThreadSpanStreams();
  const spans = (stream: string): number => fixture.expected(`thread_spans.${stream}`).rows.length;
  return streams.sort((a, b) => spans(b) - spans(a))[0] ?? '';
}

export function withIdsOf(sql: string, fixture: NativeFixture): string {
  const stream = sql.includes('{stream}')
    ? ensureExists(busiestStream(fixture), 'a thread with spans')
    : '';
  return sql.replaceAll('{process}', fixture.processId).replaceAll('{stream}', stream);
}
