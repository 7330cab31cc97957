/**
 * Envelopes as the clients write them: for tests, benches and replays. Three ways: `rust` as the Rust client
 * does today, `unreal` as the Unreal client does, `legacy-arrays` as old Rust clients did, with payload bytes as
 * arrays of integers.
 */
import {
  type BlockInfo,
  type BlockPayload,
  formatRfc3339,
  type Nanoseconds,
  type ProcessInfo,
  type StreamInfo,
} from '@tracelake/domain';
import { CborWriter } from './cbor-writer.ts';
import { writeUserDefinedTypes } from './type-metadata.ts';

export type EnvelopeStyle = 'rust' | 'unreal' | 'legacy-arrays';

function writerFor(style: EnvelopeStyle): CborWriter {
  return new CborWriter({ indefinite: style === 'unreal' });
}

/** Encodes the body of `insert_process`. */
export function encodeProcessInfo(process: ProcessInfo, style: EnvelopeStyle): Uint8Array {
  const writer = writerFor(style);
  writer.record({
    process_id: () => writer.text(process.processId),
    exe: () => writer.text(process.exe),
    username: () => writer.text(process.username),
    realname: () => writer.text(process.realname),
    computer: () => writer.text(process.computer),
    distro: () => writer.text(process.distro),
    cpu_brand: () => writer.text(process.cpuBrand),
    tsc_frequency: () => writer.integer(process.tscFrequencyHz),
    start_time: () => writer.text(formatStartTime(process.startNs, style)),
    start_ticks: () => writer.integer(process.startTicks),
    parent_process_id: () => writeParent(writer, process.parentProcessId, style),
    properties: () => writer.textMap(process.properties),
  });
  return writer.finish();
}

function writeParent(writer: CborWriter, parent: string | undefined, style: EnvelopeStyle): void {
  if (parent !== undefined) writer.text(parent);
  else if (style === 'unreal') writer.text('');
  else writer.null();
}

/** Encodes the body of `insert_stream`. */
export function encodeStreamInfo(stream: StreamInfo, style: EnvelopeStyle): Uint8Array {
  const writer = writerFor(style);
  const ids = {
    process_id: () => writer.text(stream.processId),
    stream_id: () => writer.text(stream.streamId),
  };
  writer.record({
    ...(style === 'unreal' ? reversed(ids) : ids),
    dependencies_metadata: () => writeUserDefinedTypes(writer, stream.dependenciesMetadata),
    objects_metadata: () => writeUserDefinedTypes(writer, stream.objectsMetadata),
    tags: () => writer.array(stream.tags, (tag) => writer.text(tag)),
    properties: () => writer.textMap(stream.properties),
  });
  return writer.finish();
}

/**
 * Encodes the body of `insert_block`. The Unreal style has milliseconds only and writes the block id in upper
 * case, so it is another block to the content hash unless its times are whole milliseconds.
 */
export function encodeBlockEnvelope(
  block: BlockInfo & { readonly payload: BlockPayload },
  style: EnvelopeStyle,
): Uint8Array {
  const writer = writerFor(style);
  const isUnreal = style === 'unreal';
  const counts = {
    object_offset: () => writer.integer(block.objectOffset),
    nb_objects: () => writer.integer(block.objectCount),
  };
  writer.record({
    block_id: () => writer.text(isUnreal ? block.blockId.toUpperCase() : block.blockId),
    stream_id: () => writer.text(block.streamId),
    process_id: () => writer.text(block.processId),
    begin_time: () => writer.text(formatBlockTime(block.beginNs, style)),
    begin_ticks: () => writer.integer(block.beginTicks),
    end_time: () => writer.text(formatBlockTime(block.endNs, style)),
    end_ticks: () => writer.integer(block.endTicks),
    payload: () => writePayload(writer, block.payload, style),
    ...(isUnreal ? reversed(counts) : counts),
  });
  return writer.finish();
}

function writePayload(writer: CborWriter, payload: BlockPayload, style: EnvelopeStyle): void {
  const writeBytes = (bytes: Uint8Array): void => {
    if (style === 'legacy-arrays') writer.legacyBytes(bytes);
    else writer.bytes(bytes);
  };
  writer.record({
    dependencies: () => writeBytes(payload.dependencies),
    objects: () => writeBytes(payload.objects),
  });
}

/** The Rust client prints as many digits as are needed, in groups of three. */
function formatStartTime(time: Nanoseconds, style: EnvelopeStyle): string {
  if (style === 'unreal') return formatMilliseconds(time);
  return formatRfc3339(time).replace(/\.?(?:000)+Z$/, 'Z');
}

/** The Rust client prints nine digits and a numeric offset. */
function formatBlockTime(time: Nanoseconds, style: EnvelopeStyle): string {
  if (style === 'unreal') return formatMilliseconds(time);
  return formatRfc3339(time).replace('Z', '+00:00');
}

function formatMilliseconds(time: Nanoseconds): string {
  return `${formatRfc3339(time).slice(0, -7)}Z`;
}

function reversed<Value>(fields: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(fields).reverse());
}
