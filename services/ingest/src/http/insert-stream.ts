import type { StreamRepository } from '@tracelake/storage';
import { decodeStreamInfo } from '@tracelake/transit';
import type { Announcer } from '../announcer.ts';
import { checkStreamFields } from '../field-limits.ts';
import type { KnownStreams } from '../known-streams.ts';
import type { TelemetryEvents } from '../telemetry-events.ts';
import { nowUs } from '../wall-clock.ts';
import type { NativeHandler } from './native-route.ts';

export interface StreamHandlerPorts {
  readonly streams: StreamRepository;
  readonly knownStreams: KnownStreams;
  readonly announcer: Announcer;
  readonly events: TelemetryEvents;
}

/** `POST /ingestion/insert_stream`: the first write of an id wins; the process may come later. */
export function insertStream(ports: StreamHandlerPorts): NativeHandler {
  const { streams, knownStreams, announcer, events } = ports;
  return async (body, signal) => {
    const stream = decodeStreamInfo(body);
    checkStreamFields(stream);
    const outcome = await streams.insertIfAbsent(stream, signal);
    events.metadataWritten('stream', outcome, stream.streamId);
    if (outcome === 'exists') return;
    const { streamId, processId, tags } = stream;
    knownStreams.remember(streamId, { processId, tags });
    announcer.announce({ kind: 'stream', streamId, processId, tags, insertTimeUs: nowUs() });
  };
}
