/**
 * The first stage: stored payloads in the order of their blocks. A few are fetched ahead, so that a
 * store with latency keeps the workers busy. One budget bounds the payloads of all builds of the lane, another what
 * the blocks of each build decode to, until they are folded: here, since only in their order can they wait for room.
 */

import { AppError, ensureExists } from '@tracelake/domain';
import type { SourceBlock } from '@tracelake/lakehouse';
import { type ObjectStore, objectKeys } from '@tracelake/storage';
import { ByteBudget } from './byte-budget.ts';

export interface FetchedBlock {
  readonly block: SourceBlock;
  /** The object as stored, or why there is none. */
  readonly payload: Uint8Array | { readonly missing: string };
  /** Gives the payload's bytes back to the budget; dispose it once the payload is decoded. */
  readonly reservation: Disposable;
  /** Room for what the block decodes to; dispose it once that is folded. */
  readonly decodedRoom: Disposable;
}

/** Of one build, between fetch and fold: some four blocks of 2.9 MB, so that two decode while others come and go. */
const DECODED_BYTES_MAX = 48 * 2 ** 20;

/** What blocks of the known clients come to at most: texts by their payload, spans by their number. */
const DECODED_BYTES_PER_PAYLOAD_BYTE = 4;
const DECODED_BYTES_PER_EVENT = 24;

function decodedBytesOf({ payloadBytes, objectCount }: SourceBlock): number {
  return Math.max(
    payloadBytes * DECODED_BYTES_PER_PAYLOAD_BYTE,
    objectCount * DECODED_BYTES_PER_EVENT,
  );
}

export interface BlockReaderOptions {
  readonly objectStore: ObjectStore;
  /** Stored payloads held at once, from fetch to decode. */
  readonly payloadBytesMax: number;
}

export interface BlockReadOptions {
  /** Fetches under way at once. */
  readonly fetchAhead: number;
  /** Sees every reservation before it is handed out, and may wrap it. */
  readonly onReserved: (reservation: Disposable) => Disposable;
  /** Awaited before each fetch, holding no room for it yet. */
  readonly giveWay?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly signal: AbortSignal;
}

/** One lane's way to the stored blocks: no other lane's payloads take its room. */
export class BlockReader {
  readonly #objectStore: ObjectStore;
  readonly #budget: ByteBudget;

  constructor({ objectStore, payloadBytesMax }: BlockReaderOptions) {
    this.#objectStore = objectStore;
    this.#budget = new ByteBudget(payloadBytesMax);
  }

  /** Bytes of payloads that are fetched and not decoded yet. */
  get heldBytes(): number {
    return this.#budget.usedBytes;
  }

  /** The stored object of a block alone, for whoever holds its reservation. */
  async reload(
    { processId, streamId, blockId }: SourceBlock,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return await this.#objectStore.get(objectKeys.block(processId, streamId, blockId), signal);
  }

  /** Yields every block with its payload; each carries a reservation that its taker gives back. */
  read(
    blocks: readonly SourceBlock[],
    options: BlockReadOptions,
  ): AsyncGenerator<FetchedBlock, void, undefined> {
    const decodedBudget = new ByteBudget(DECODED_BYTES_MAX);
    const source = { objectStore: this.#objectStore, budget: this.#budget, decodedBudget };
    return fetchBlockPayloads(blocks, { ...options, ...source });
  }
}

interface PayloadReaderOptions extends BlockReadOptions {
  readonly objectStore: ObjectStore;
  readonly budget: ByteBudget;
  readonly decodedBudget: ByteBudget;
}

interface Reservations {
  readonly reservation: Disposable;
  readonly decodedRoom: Disposable;
}

async function* fetchBlockPayloads(
  blocks: readonly SourceBlock[],
  options: PayloadReaderOptions,
): AsyncGenerator<FetchedBlock, void, undefined> {
  const underWay: Promise<FetchedBlock>[] = [];
  let next = 0;
  try {
    for (;;) {
      for (; next < blocks.length && underWay.length < options.fetchAhead; next++) {
        const block = ensureExists(blocks[next], 'block');
        await options.giveWay?.(options.signal);
        const reserved = await reserveFor(block, underWay.length > 0, options);
        if (reserved === undefined) break;
        const fetching = fetchBlock(block, reserved, options);
        // A failure is met when its turn comes; until then it is nobody's unhandled rejection.
        fetching.catch(() => {});
        underWay.push(fetching);
      }
      const first = await underWay.shift();
      if (first === undefined) return;
      yield first;
    }
  } finally {
    // Nothing is left running behind a reader that ended early.
    await Promise.allSettled(underWay);
  }
}

/**
 * Whoever holds fetched blocks that nobody has taken yet must not wait for room, or two pipelines could
 * wait for each other: reading ahead stops instead.
 */
async function reserveFor(
  block: SourceBlock,
  holdsOthers: boolean,
  { budget, decodedBudget, onReserved, signal }: PayloadReaderOptions,
): Promise<Reservations | undefined> {
  const wanted = decodedBytesOf(block);
  const forDecoded = holdsOthers
    ? decodedBudget.tryReserve(wanted)
    : await decodedBudget.reserve(wanted, signal);
  if (forDecoded === undefined) return undefined;
  const decodedRoom = onReserved(forDecoded);
  const forPayload = holdsOthers
    ? budget.tryReserve(block.payloadBytes)
    : await budget.reserve(block.payloadBytes, signal);
  if (forPayload !== undefined) return { decodedRoom, reservation: onReserved(forPayload) };
  decodedRoom[Symbol.dispose]();
  return undefined;
}

async function fetchBlock(
  block: SourceBlock,
  reserved: Reservations,
  { objectStore, signal }: PayloadReaderOptions,
): Promise<FetchedBlock> {
  const key = objectKeys.block(block.processId, block.streamId, block.blockId);
  try {
    return { block, ...reserved, payload: await objectStore.get(key, signal) };
  } catch (error) {
    if (error instanceof AppError && error.code === 'storage.object-missing') {
      return { block, ...reserved, payload: { missing: `${error.code}: ${error.message}` } };
    }
    throw error;
  }
}
