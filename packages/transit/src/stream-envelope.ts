import type { StreamInfo } from '@tracelake/domain';
import { CborReader } from './cbor-reader.ts';
import {
  readProcessId,
  readProperties,
  readRecord,
  readStreamId,
  readTexts,
  withoutReservedProperties,
} from './cbor-record.ts';
import { readUserDefinedTypes } from './type-metadata.ts';

/**
 * Decodes the body of `insert_stream`. Properties in the reserved namespace `micromegas.` are dropped.
 *
 * Errors: `TransitDecodeError`, naming the field: the codes of `decodeProcessInfo`, and
 * `transit.bad-metadata` for types that contain themselves or nest beyond reason.
 * Source: rust/telemetry/src/stream_info.rs of the reference.
 */
export function decodeStreamInfo(body: Uint8Array): StreamInfo {
  const fields = readRecord(new CborReader(body), {
    process_id: readProcessId,
    stream_id: readStreamId,
    dependencies_metadata: readUserDefinedTypes,
    objects_metadata: readUserDefinedTypes,
    tags: readTexts,
    properties: readProperties,
  });
  return {
    streamId: fields.stream_id,
    processId: fields.process_id,
    dependenciesMetadata: fields.dependencies_metadata,
    objectsMetadata: fields.objects_metadata,
    tags: fields.tags,
    properties: withoutReservedProperties(fields.properties),
  };
}
