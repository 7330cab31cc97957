import type { StreamId } from '@tracelake/domain';

/** The name a thread is shown by: `name-id`, what there is of the two, or the id of its stream. */
export function threadDisplayName(stream: {
  readonly streamId: StreamId;
  readonly properties: Readonly<Record<string, string>>;
}): string {
  const threadId = stream.properties['thread-id'];
  const name = stream.properties['thread-name'];
  if (name === undefined) return threadId ?? stream.streamId;
  return threadId === undefined ? name : `${name}-${threadId}`;
}
