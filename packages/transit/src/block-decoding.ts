/** What the decoders of all event kinds share: their input, opening its two buffers, and event ids. */
import { endianness } from 'node:os';
import { assert, type BlockPayload, type UserDefinedType } from '@tracelake/domain';
import { Dependencies } from './dependencies.ts';
import { type DecompressionLimits, decodeLz4FrameInto } from './lz4-frame.ts';
import {
  type BufferName,
  countRecords,
  failType,
  type RecordCounts,
  type TransitBuffer,
  transitBuffer,
} from './record-framing.ts';
import { bufferLayoutOf, type MemberLayout, type TypeLayout } from './record-layout.ts';
import { ScratchBytes } from './scratch-bytes.ts';

/** A native block to decode. Layouts are compiled once per metadata array, so pass the same arrays again. */
export interface BlockDecodeInput {
  readonly dependenciesMetadata: readonly UserDefinedType[];
  readonly objectsMetadata: readonly UserDefinedType[];
  readonly payload: BlockPayload;
  /** Id of the block's first event. */
  readonly objectOffset: bigint;
  readonly limits: DecompressionLimits & {
    /** The most records that the objects may hold; no limit of its own by default. */
    readonly recordsMax?: number;
  };
}

export interface OpenBlock {
  readonly dependencies: Dependencies;
  readonly objects: TransitBuffer;
  readonly counts: RecordCounts;
}

/** Any text in a buffer of this size fits the longest string there can be. */
const TEXT_BYTES_MAX = 2 ** 29 - 32;

interface BlockScratch {
  readonly dependencies: ScratchBytes;
  readonly objects: ScratchBytes;
}

const sharedScratch: BlockScratch = {
  dependencies: new ScratchBytes(),
  objects: new ScratchBytes(),
};

/**
 * Opens a block for a decoder that is done with it before anything else is decoded on this thread: its buffers are
 * those of the block before.
 */
export function openBlockBriefly(input: BlockDecodeInput): OpenBlock {
  return openBlock(input, sharedScratch);
}

/** Decompresses both buffers, indexes the dependencies and proves the framing of the objects. */
export function openBlock(input: BlockDecodeInput, scratch?: BlockScratch): OpenBlock {
  const { payload } = input;
  const bytesMax = Math.min(input.limits.decompressedBytesMax, TEXT_BYTES_MAX);
  const dependenciesLayout = bufferLayoutOf(input.dependenciesMetadata);
  const objectsLayout = bufferLayoutOf(input.objectsMetadata);
  const decompress = (name: BufferName, outputBytesMax: number): Uint8Array =>
    decodeLz4FrameInto(payload[name], {
      outputBytesMax,
      field: `payload.${name}`,
      ...(scratch && { scratch: scratch[name] }),
    });
  const dependenciesBytes = decompress('dependencies', bytesMax);
  const objectsBytes = decompress('objects', bytesMax - dependenciesBytes.length);
  const objects = transitBuffer('objects', objectsBytes, objectsLayout);
  return {
    dependencies: new Dependencies(
      transitBuffer('dependencies', dependenciesBytes, dependenciesLayout),
    ),
    objects,
    counts: countRecords(objects, input.limits.recordsMax),
  };
}

// Ids are written as 32-bit halves of a BigInt64Array.
assert(endianness() === 'LE', 'transit decodes on little-endian machines only');

/** Event ids are `objectOffset` plus the index of the record among all records of the block. */
export class EventIdColumn {
  readonly values: BigInt64Array;
  readonly #halves: Int32Array;
  readonly #offsetLow: number;
  readonly #offsetHigh: number;

  constructor(count: number, objectOffset: bigint) {
    this.values = new BigInt64Array(count);
    this.#halves = new Int32Array(this.values.buffer);
    this.#offsetLow = Number(BigInt.asUintN(32, objectOffset));
    this.#offsetHigh = Number(BigInt.asIntN(32, objectOffset >> 32n));
  }

  set(row: number, recordIndex: number): void {
    const low = this.#offsetLow + recordIndex;
    this.#halves[row * 2] = low;
    this.#halves[row * 2 + 1] = this.#offsetHigh + (low >= 0x1_0000_0000 ? 1 : 0);
  }
}

/** What an event type's plan needs of its members; throws `transit.bad-metadata` when it is not there. */
export class MemberFinder {
  readonly #buffer: TransitBuffer;
  readonly #type: TypeLayout;
  readonly #usedReferences = new Set<number>();

  constructor(buffer: TransitBuffer, type: TypeLayout) {
    if (type.problem !== undefined) failType(buffer, type, type.problem);
    if (type.isReference) failType(buffer, type, 'is a reference and not an event');
    this.#buffer = buffer;
    this.#type = type;
  }

  referenceOffset(name: string): number {
    const { offset } = this.#find(name, ['reference']);
    this.#usedReferences.add(offset);
    return offset;
  }

  /** Any 64-bit integer: ids and times are taken bit by bit, whichever sign the client declares. */
  int64Offset(name: string): number {
    return this.#find(name, ['i64', 'u64']).offset;
  }

  float64Offset(name: string): number {
    return this.#find(name, ['f64']).offset;
  }

  u32Member(name: string): { readonly offset: number; readonly isByte: boolean } {
    const member = this.#find(name, ['u32', 'u8']);
    return { offset: member.offset, isByte: member.kind === 'u8' };
  }

  /** References that the plan has no use for; they must resolve all the same. */
  otherReferenceOffsets(): readonly number[] {
    return this.#type.referenceOffsets.filter((offset) => !this.#usedReferences.has(offset));
  }

  #find(name: string, kinds: readonly MemberLayout['kind'][]): MemberLayout {
    const member = this.#type.members.get(name);
    if (member === undefined) return failType(this.#buffer, this.#type, `has no member "${name}"`);
    if (!kinds.includes(member.kind))
      failType(
        this.#buffer,
        this.#type,
        `has a member "${name}" that is not ${kinds.join(' or ')}`,
      );
    return member;
  }
}

/**
 * Makes the plan of each type that occurs in the block, by type index; types the decoder does not know stay
 * undefined. Types that are declared and never sent cannot fail a block.
 */
export function planOccurringTypes<Plan>(
  block: OpenBlock,
  planType: (type: TypeLayout) => Plan | undefined,
): (Plan | undefined)[] {
  return block.objects.layout.types
    .slice(0, block.counts.byType.length)
    .map((type, index) => ((block.counts.byType[index] ?? 0) > 0 ? planType(type) : undefined));
}

/** How many records have a plan. */
export function countPlanned(block: OpenBlock, plans: readonly unknown[]): number {
  let count = 0;
  for (const [index, plan] of plans.entries())
    if (plan !== undefined) count += block.counts.byType[index] ?? 0;
  return count;
}
