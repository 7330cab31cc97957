import type { StreamOwner } from '@tracelake/storage';
import {
  type BlockEnvelope,
  type DecompressionLimits,
  decodeBlockEnvelope,
} from '@tracelake/transit';
import type { Announcer } from '../announcer.ts';
import type { BlockWriter } from '../block-writer.ts';
import { IngestError } from '../ingest-error.ts';
import type { KnownStreams } from '../known-streams.ts';
import type { TelemetryEvents } from '../telemetry-events.ts';
import type { NativeHandler } from './native-route.ts';

export interface BlockHandlerPorts {
  readonly blockWriter: BlockWriter;
  readonly knownStreams: KnownStreams;
  readonly announcer: Announcer;
  readonly events: TelemetryEvents;
  readonly decompressionLimits: DecompressionLimits;
}

/** `POST /ingestion/insert_block`: create-only; its stream and process may come later. */
export function insertBlock(ports: BlockHandlerPorts): NativeHandler {
  const { blockWriter, knownStreams, announcer, events, decompressionLimits } = ports;
  return async (body, signal) => {
    const startedMs = performance.now();
    const block = decodeBlockEnvelope(body, decompressionLimits);
    events.stageTook('decode', performance.now() - startedMs);
    const stream = await knownStreams.find(block.streamId);
    if (stream !== undefined && stream.processId !== block.processId) refuse(block, stream);
    const written = await blockWriter.write(block, signal);
    if (written.newRowTimeUs === undefined) return;
    announcer.announce({
      kind: 'block',
      blockId: block.blockId,
      streamId: block.streamId,
      processId: block.processId,
      tags: stream?.tags,
      insertTimeUs: written.newRowTimeUs,
      objectCount: block.objectCount,
      payloadBytes: written.payloadBytes,
    });
  };
}

/** A stream never changes its process, so no view could ever want this block. */
function refuse({ blockId, streamId, processId }: BlockEnvelope, stream: StreamOwner): never {
  throw new IngestError(
    'ingest.process-mismatch',
    `process_id is ${processId}, but its stream belongs to process ${stream.processId}`,
    { details: { field: 'process_id', blockId, streamId, streamProcessId: stream.processId } },
  );
}
