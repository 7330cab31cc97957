/** A lake of a test's own: a real Postgres database and a directory of objects, written as ingest does. */

import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BlockPayload } from '@tracelake/domain';
import {
  BlockRepository,
  type Database,
  migrate,
  type ObjectStore,
  objectKeys,
  openDatabase,
  openObjectStore,
  PartitionCatalog,
  ProcessRepository,
  StreamRepository,
} from '@tracelake/storage';
import { type IngestRequest, startTestPostgres } from '@tracelake/test-kit';
import {
  type BlockEnvelope,
  decodeBlockEnvelope,
  decodeProcessInfo,
  decodeStreamInfo,
  encodeBlockPayload,
} from '@tracelake/transit';

export interface TestLake extends AsyncDisposable {
  readonly databaseUrl: string;
  readonly objectStoreUrl: string;
  readonly directory: string;
  readonly database: Database;
  readonly objectStore: ObjectStore;
  readonly catalog: PartitionCatalog;
  /** Stores one request durably, without announcing it. Resolves with the block, for a block. */
  ingest(request: IngestRequest): Promise<BlockEnvelope | undefined>;
  /** Stores a block whose payload is what the test says: damage included. */
  ingestBlock(block: BlockEnvelope, payload?: BlockPayload | Uint8Array): Promise<void>;
}

export async function openTestLake(): Promise<TestLake> {
  const stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-materializer-test-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const postgres = stack.use(await startTestPostgres());
  const database = stack.use(openDatabase(postgres.url, { poolSize: 4 }));
  await migrate(database);
  const objectStoreUrl = pathToFileURL(join(directory, 'objects')).href;
  const objectStore = await openObjectStore(objectStoreUrl);
  await objectStore.checkReady();
  const ingestBlock = createBlockWriter(database, objectStore);
  return {
    databaseUrl: postgres.url,
    objectStoreUrl,
    directory,
    database,
    objectStore,
    catalog: new PartitionCatalog(database),
    ingestBlock,
    ingest: (request) => ingestRequest(request, database, ingestBlock),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function createBlockWriter(database: Database, objectStore: ObjectStore): TestLake['ingestBlock'] {
  const blocks = new BlockRepository(database);
  return async (block, payload = block.payload) => {
    const bytes = payload instanceof Uint8Array ? payload : encodeBlockPayload(payload);
    const key = objectKeys.block(block.processId, block.streamId, block.blockId);
    await objectStore.putIfAbsent(key, bytes);
    const contentSha256 =
      payload === block.payload ? block.contentSha256 : createHash('sha256').update(bytes).digest();
    await blocks.insertIfAbsent({ ...block, contentSha256, payloadBytes: bytes.length });
  };
}

async function ingestRequest(
  { path, body }: IngestRequest,
  database: Database,
  ingestBlock: TestLake['ingestBlock'],
): Promise<BlockEnvelope | undefined> {
  switch (path) {
    case '/ingestion/insert_process':
      await new ProcessRepository(database).insertIfAbsent(decodeProcessInfo(body));
      return undefined;
    case '/ingestion/insert_stream':
      await new StreamRepository(database).insertIfAbsent(decodeStreamInfo(body));
      return undefined;
    case '/ingestion/insert_block': {
      const block = decodeBlockEnvelope(body);
      await ingestBlock(block);
      return block;
    }
    default:
      throw new Error(`no such route: ${path}`);
  }
}
