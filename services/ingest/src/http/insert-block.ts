import { type DecompressionLimits, decodeBlockEnvelope } from '@tracelake/transit';
import type { Announcer } from '../announcer.ts';
import type { BlockWriter } from '../block-writer.ts';
import type { TelemetryEvents } from '../telemetry-events.ts';
import type { NativeHandler } from './native-route.ts';

export interface BlockHandlerPorts {
  readonly blockWriter: BlockWriter;
  readonly announcer: Announcer;
  readonly events: TelemetryEvents;
  readonly decompressionLimits: DecompressionLimits;
}

/** `POST /ingestion/insert_block`: create-only; its stream and process may come later. */
export function insertBlock(ports: BlockHandlerPorts): NativeHandler {
  const { blockWriter, announcer, events, decompressionLimits } = ports;
  return async (body, signal) => {
    const startedMs = performance.now();
    const block = decodeBlockEnvelope(body, decompressionLimits);
    events.stageTook('decode', performance.now() - startedMs);
    const written = await blockWriter.write(block, signal);
    if (written.newRowTimeUs === undefined) return;
    announcer.announce({
      kind: 'block',
      blockId: block.blockId,
      streamId: block.streamId,
      processId: block.processId,
      tags: undefined,
      insertTimeUs: written.newRowTimeUs,
      objectCount: block.objectCount,
      payloadBytes: written.payloadBytes,
    });
  };
}
