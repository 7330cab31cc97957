/** Copies of recorded processes under new ids: as many real processes as a test wants, their rows known. */

import { randomUUID } from 'node:crypto';
import { type BlockId, type ProcessId, parseStreamId, type StreamId } from '@tracelake/domain';
import type { NativeFixture } from '@tracelake/test-kit';
import {
  decodeBlockEnvelope,
  decodeProcessInfo,
  decodeStreamInfo,
  encodeBlockEnvelope,
  encodeProcessInfo,
  encodeStreamInfo,
} from '@tracelake/transit';
import type { TelemetryRequest } from './client.ts';

export interface ProcessCopy {
  readonly fixture: NativeFixture;
  readonly processId: ProcessId;
  readonly requests: readonly TelemetryRequest[];
}

/** The same process, streams and blocks with ids of their own; all else is as recorded. */
export function copyProcess(fixture: NativeFixture): ProcessCopy {
  const processId = randomUUID() as ProcessId;
  const streamIds = new Map<StreamId, StreamId>();
  const streamId = (recorded: StreamId): StreamId => {
    const known = streamIds.get(recorded) ?? parseStreamId(randomUUID());
    if (known === undefined) throw new Error('randomUUID gave no UUID');
    streamIds.set(recorded, known);
    return known;
  };
  const requests = fixture.requests.map(({ path, body }) => {
    if (path.endsWith('/insert_process')) {
      return { path, body: encodeProcessInfo({ ...decodeProcessInfo(body), processId }, 'rust') };
    }
    if (path.endsWith('/insert_stream')) {
      const stream = decodeStreamInfo(body);
      const copy = { ...stream, processId, streamId: streamId(stream.streamId) };
      return { path, body: encodeStreamInfo(copy, 'rust') };
    }
    const block = decodeBlockEnvelope(body);
    const copy = {
      ...block,
      processId,
      streamId: streamId(block.streamId),
      blockId: randomUUID() as BlockId,
    };
    return { path, body: encodeBlockEnvelope(copy, 'rust') };
  });
  return { fixture, processId, requests };
}
