/** Copies of recorded processes under new ids: as many real processes as a test wants, their rows known. */

import { randomUUID } from 'node:crypto';
import type { ProcessId } from '@tracelake/domain';
import type { NativeFixture } from '@tracelake/test-kit';
import {
  decodeBlockEnvelope,
  decodeProcessInfo,
  decodeStreamInfo,
  type EnvelopeStyle,
  encodeBlockEnvelope,
  encodeProcessInfo,
  encodeStreamInfo,
} from '@tracelake/transit';
import type { TelemetryRequest } from './client.ts';

export interface ProcessCopy {
  readonly fixture: NativeFixture;
  readonly processId: ProcessId;
  readonly requests: readonly TelemetryRequest[];
  /** What stands in the copy for an id of the recording. */
  readonly idOf: (recorded: string) => string;
}

/** The same process, streams and blocks with ids of their own; all else is as recorded and as the style allows. */
export function copyProcess(fixture: NativeFixture, style: EnvelopeStyle = 'rust'): ProcessCopy {
  const ids = new Map<string, string>();
  const copyOf = <Id extends string>(recorded: Id): Id => {
    const copy = ids.get(recorded) ?? randomUUID();
    ids.set(recorded, copy);
    return copy as Id;
  };
  const processId = copyOf(fixture.processId as ProcessId);
  const requests = fixture.requests.map(({ path, body }) => {
    if (path.endsWith('/insert_process')) {
      return { path, body: encodeProcessInfo({ ...decodeProcessInfo(body), processId }, style) };
    }
    if (path.endsWith('/insert_stream')) {
      const stream = decodeStreamInfo(body);
      const copy = { ...stream, processId, streamId: copyOf(stream.streamId) };
      return { path, body: encodeStreamInfo(copy, style) };
    }
    const block = decodeBlockEnvelope(body);
    const copy = {
      ...block,
      processId,
      streamId: copyOf(block.streamId),
      blockId: copyOf(block.blockId),
    };
    return { path, body: encodeBlockEnvelope(copy, style) };
  });
  return { fixture, processId, requests, idOf: (recorded) => ids.get(recorded) ?? recorded };
}
