/** A recorded process as the planner and the views see it. */
import { createHash } from 'node:crypto';
import type { BlockId, BlockPayload, ProcessInfo, StreamId } from '@tracelake/domain';
import { ensureExists } from '@tracelake/domain';
import {
  calibrate,
  chooseCalibrationEvidence,
  type RunContext,
  type SourceBlock,
  type SourceStream,
} from '@tracelake/lakehouse';
import {
  decodeBlockEnvelope,
  decodeProcessInfo,
  decodeStreamInfo,
  encodeUserDefinedTypes,
} from '@tracelake/transit';
import { type IngestRequest, loadFixture, type NativeFixture } from './fixtures.ts';

export const decodeLimits = { decompressedBytesMax: 64 * 1024 * 1024 };

export interface RecordedProcess {
  readonly process: ProcessInfo;
  readonly streams: ReadonlyMap<StreamId, SourceStream>;
  /** Their insert times follow the order of the requests, a millisecond apart. */
  readonly blocks: readonly SourceBlock[];
  readonly payloads: ReadonlyMap<BlockId, BlockPayload>;
  /** Calibrated by all blocks. */
  readonly context: RunContext;
}

export function recordedProcessOf(requests: readonly IngestRequest[]): RecordedProcess {
  const bodies = (path: string) =>
    requests.filter((request) => request.path.endsWith(path)).map(({ body }) => body);
  const process = decodeProcessInfo(ensureExists(bodies('insert_process')[0], 'process'));
  const streams = bodies('insert_stream')
    .map((body) => decodeStreamInfo(body))
    .map((stream) => ({ ...stream, metadataSha256: metadataHash(stream) }));
  const payloads = new Map<BlockId, BlockPayload>();
  const blocks = bodies('insert_block').map((body, index) => {
    const { payload, ...block } = decodeBlockEnvelope(body, decodeLimits);
    payloads.set(block.blockId, payload);
    const insertTimeUs = process.startNs / 1000n + BigInt(index) * 1000n;
    return { ...block, insertTimeUs, payloadBytes: body.length };
  });
  const streamsById = new Map(streams.map((stream) => [stream.streamId, stream]));
  const calibration = calibrate(process, chooseCalibrationEvidence(process, blocks));
  const context = { process, streams: streamsById, calibration };
  return { process, streams: streamsById, blocks, payloads, context };
}

export function loadRecordedProcess(name: string): RecordedProcess & { fixture: NativeFixture } {
  const fixture = loadFixture(name);
  return { ...recordedProcessOf(fixture.requests), fixture };
}

/** Blocks of the streams with a tag, or of one stream. */
export function blocksOf(
  { blocks, streams }: RecordedProcess,
  filter: { readonly tag: string; readonly streamId?: string },
): SourceBlock[] {
  return blocks.filter(
    ({ streamId }) =>
      streams.get(streamId)?.tags.includes(filter.tag) === true &&
      (filter.streamId === undefined || filter.streamId === streamId),
  );
}

function metadataHash(stream: ReturnType<typeof decodeStreamInfo>): Uint8Array {
  return createHash('sha256')
    .update(encodeUserDefinedTypes(stream.dependenciesMetadata))
    .update(encodeUserDefinedTypes(stream.objectsMetadata))
    .digest();
}
