import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { SourceBlock } from '@tracelake/lakehouse';
import { objectKeys, openObjectStore } from '@tracelake/storage';
import { BlockReader, type FetchedBlock } from './block-reader.ts';

const MIB = 2 ** 20;

async function withBlocks(
  { count, payloadBytes }: { readonly count: number; readonly payloadBytes: number },
  work: (blocks: SourceBlock[], reader: BlockReader) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'tracelake-blocks-'));
  try {
    await using objectStore = await openObjectStore(pathToFileURL(dir).href);
    const blocks = Array.from({ length: count }, (_, index) => {
      const id = (kind: number) =>
        `00000000-0000-4000-8000-${String(kind * 1000 + index).padStart(12, '0')}`;
      const ids = { blockId: id(1), streamId: id(2), processId: id(3) };
      return { ...ids, payloadBytes, objectCount: 1 } as unknown as SourceBlock;
    });
    for (const { processId, streamId, blockId } of blocks) {
      await objectStore.putIfAbsent(
        objectKeys.block(processId, streamId, blockId),
        Uint8Array.of(1),
      );
    }
    await work(blocks, new BlockReader({ objectStore, payloadBytesMax: 256 * MIB }));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test('blocks are fetched only while there is room for what they decode to', async () => {
  // Payloads of 6 MiB decode to 24 MiB, and two of those fill the room of a build.
  await withBlocks({ count: 5, payloadBytes: 6 * MIB }, async (blocks, reader) => {
    const { signal } = new AbortController();
    const reading = reader.read(blocks, { fetchAhead: 4, onReserved: (held) => held, signal });
    const taken: FetchedBlock[] = [];
    const takeAll = (async () => {
      for await (const fetched of reading) {
        fetched.reservation[Symbol.dispose]();
        taken.push(fetched);
      }
    })();
    const settle = async (): Promise<number> => {
      const before = taken.length;
      await sleep(50);
      return taken.length === before ? before : settle();
    };
    while (taken.length < 2) await sleep(1);
    assert.equal(await settle(), 2, 'payloads are decoded, and nothing is folded');
    taken[0]?.decodedRoom[Symbol.dispose]();
    while (taken.length < 3) await sleep(1);
    assert.equal(await settle(), 3);
    for (let index = 1; index < 5; index++) {
      while (taken.length <= index) await sleep(1);
      taken[index]?.decodedRoom[Symbol.dispose]();
    }
    await takeAll;
    assert.deepEqual(
      taken.map(({ block }) => block.blockId),
      blocks.map(({ blockId }) => blockId),
    );
    assert.equal(reader.heldBytes, 0);
  });
});

test('a block that decodes to more than there is room for passes alone', async () => {
  await withBlocks({ count: 2, payloadBytes: 100 * MIB }, async (blocks, reader) => {
    const { signal } = new AbortController();
    const order: string[] = [];
    const options = { fetchAhead: 4, onReserved: (held: Disposable) => held, signal };
    for await (const fetched of reader.read(blocks, options)) {
      order.push(fetched.block.blockId);
      fetched.reservation[Symbol.dispose]();
      fetched.decodedRoom[Symbol.dispose]();
    }
    assert.equal(order.length, 2);
  });
});
