/** Blocks to decode, made from recordings or from raw records. */
import assert from 'node:assert/strict';
import type { UserDefinedType } from '@tracelake/domain';
import { encodeLz4Frame, type IngestRequest, loadFixture } from '@tracelake/test-kit';
import {
  type BlockDecodeInput,
  decodeBlockEnvelope,
  decodeLz4Frame,
  decodeStreamInfo,
  TransitDecodeError,
  type TransitErrorCode,
} from '../src/index.ts';

export const limits = { decompressedBytesMax: 64 * 1024 * 1024 };

/** A block with its buffers decompressed, to be damaged. */
export interface RawBlock {
  readonly dependenciesMetadata: readonly UserDefinedType[];
  readonly objectsMetadata: readonly UserDefinedType[];
  readonly dependencies: Uint8Array;
  readonly objects: Uint8Array;
}

export function inputOf(block: RawBlock): BlockDecodeInput {
  const { dependenciesMetadata, objectsMetadata } = block;
  const payload = {
    dependencies: encodeLz4Frame(block.dependencies, { compress: false }),
    objects: encodeLz4Frame(block.objects, { compress: false }),
  };
  return { dependenciesMetadata, objectsMetadata, payload, objectOffset: 0n, limits };
}

/** The first block of a tag in a recording. */
export function rawBlockOf(requests: readonly IngestRequest[], tag: string): RawBlock {
  const bodies = (path: string) =>
    requests.filter((request) => request.path.endsWith(path)).map(({ body }) => body);
  const streams = bodies('insert_stream').map(decodeStreamInfo);
  for (const body of bodies('insert_block')) {
    const { streamId, payload } = decodeBlockEnvelope(body);
    const stream = streams.find((candidate) => candidate.streamId === streamId);
    if (!stream?.tags.includes(tag)) continue;
    return {
      dependenciesMetadata: stream.dependenciesMetadata,
      objectsMetadata: stream.objectsMetadata,
      dependencies: decodeLz4Frame(payload.dependencies, limits.decompressedBytesMax),
      objects: decodeLz4Frame(payload.objects, limits.decompressedBytesMax),
    };
  }
  throw new Error(`the recording has no ${tag} block`);
}

export function recordedBlock(name: string, tag: string): RawBlock {
  return rawBlockOf(loadFixture(name).requests, tag);
}

/** Bytes from hexadecimal text; blanks are free. */
export function hex(...parts: string[]): Uint8Array {
  return Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
}

/** Runs what may fail only in the one way decoders may; returns whether it succeeded. */
export function succeedsOrRefuses(decode: () => unknown): boolean {
  try {
    decode();
    return true;
  } catch (error) {
    if (!(error instanceof TransitDecodeError)) throw error;
    return false;
  }
}

export function assertRefuses(decode: () => unknown, code: TransitErrorCode): void {
  assert.throws(decode, (error) => {
    assert(error instanceof TransitDecodeError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}
