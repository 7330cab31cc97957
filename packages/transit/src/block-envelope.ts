import {
  type BlockInfo,
  type BlockPayload,
  type Nanoseconds,
  nanoseconds,
  ticks,
  truncateToMicroseconds,
} from '@tracelake/domain';
import { readBlockPayload } from './block-payload.ts';
import { CborReader } from './cbor-reader.ts';
import {
  readBlockId,
  readEventCount,
  readInt32Count,
  readInt64,
  readProcessId,
  readRecord,
  readStreamId,
  readTime,
} from './cbor-record.ts';
import { contentSha256Of } from './content-hash.ts';
import { checkDecompressedBound, type DecompressionLimits } from './lz4-frame.ts';

/** A block as it came, beside the times the store keeps the exact ones that were sent. */
export interface BlockEnvelope extends BlockInfo {
  readonly exactBeginNs: Nanoseconds;
  readonly exactEndNs: Nanoseconds;
  readonly payload: BlockPayload;
  /** 32 bytes; see `contentSha256Of`. */
  readonly contentSha256: Uint8Array;
}

/**
 * Decodes the body of `insert_block`. With limits, a payload whose LZ4 frames could grow past them is refused
 * from their block headers alone, before anything is decompressed; events are not looked at.
 *
 * Ownership: the payload's buffers are views of `body` unless they came as legacy arrays.
 * Errors: `TransitDecodeError`, naming the field: the codes of `decodeProcessInfo`, and `transit.too-large`.
 * Source: rust/telemetry/src/block_wire_format.rs of the reference.
 */
export function decodeBlockEnvelope(body: Uint8Array, limits?: DecompressionLimits): BlockEnvelope {
  const fields = readRecord(new CborReader(body), {
    block_id: readBlockId,
    stream_id: readStreamId,
    process_id: readProcessId,
    begin_time: readTime,
    begin_ticks: readInt64,
    end_time: readTime,
    end_ticks: readInt64,
    payload: readBlockPayload,
    object_offset: readEventCount,
    nb_objects: readInt32Count,
  });
  if (limits !== undefined) checkDecompressedBound(fields.payload, limits);
  const identity = {
    blockId: fields.block_id,
    streamId: fields.stream_id,
    processId: fields.process_id,
    exactBeginNs: nanoseconds(fields.begin_time),
    exactEndNs: nanoseconds(fields.end_time),
    beginTicks: ticks(fields.begin_ticks),
    endTicks: ticks(fields.end_ticks),
    objectCount: fields.nb_objects,
    objectOffset: fields.object_offset,
  };
  return {
    ...identity,
    beginNs: truncateToMicroseconds(identity.exactBeginNs),
    endNs: truncateToMicroseconds(identity.exactEndNs),
    payload: fields.payload,
    contentSha256: contentSha256Of(identity, fields.payload),
  };
}
