/**
 * Scenario: `tracelake copy-store` between directories and a real S3 server, with and without the database.
 * Guarantees: every object arrives once, whole; what cannot is named and is the exit status; nothing is overwritten.
 */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Secret } from '@tracelake/domain';
import { migrate, type ObjectStore, openDatabase, openObjectStore, sql } from '@tracelake/storage';
import { startTestPostgres, startTestS3 } from '@tracelake/test-kit';
import { InterruptedError } from '../src/cli-error.ts';
import { runCommand } from './run-command.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'tracelake-copy-test-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const urlOf = (name: string) => pathToFileURL(path.join(directory, name)).href;

/** Puts objects as a lake has them, the last of them too large for memory; resolves with their keys. */
async function fill(store: ObjectStore, streams: number): Promise<string[]> {
  const keys: string[] = [];
  for (let stream = 0; stream < streams; stream++) {
    for (let block = 0; block < 5; block++) {
      keys.push(`blobs/${randomUUID()}/stream-${stream}/${randomUUID()}`);
      keys.push(`views/measures/${stream}/2026-11-21/${randomUUID()}.parquet`);
    }
  }
  for (const key of keys) await store.putIfAbsent(key, Buffer.from(`the bytes of ${key}`));
  const large = 'views/thread_spans/x/2026-11-21/large.parquet';
  await store.putIfAbsent(large, Buffer.alloc(9_000_000, 'large '));
  return [...keys, large].toSorted();
}

async function contentOf(store: ObjectStore): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for (const prefix of ['blobs/', 'views/']) {
    for await (const { key } of store.list(prefix)) {
      content.set(
        key,
        createHash('sha256')
          .update(await store.get(key))
          .digest('hex'),
      );
    }
  }
  return new Map([...content].toSorted());
}

const copy = (argv: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runCommand(['copy-store', ...argv], { env });

test('a directory arrives in another, and a second run copies only what is new', async () => {
  await using from = await openObjectStore(urlOf('from'));
  await using to = await openObjectStore(urlOf('to'));
  const keys = await fill(from, 4);
  const first = await copy([from.url, to.url]);
  assert.equal(first.status, 0, first.stderr);
  assert.match(
    first.stdout,
    /^41 copied \(8\.6 MiB\), 0 there already, 0 different, 0 failed, 0 missing/,
  );
  assert.match(first.stderr, /not compared with Postgres/);
  const content = await contentOf(to);
  assert.deepEqual([...content.keys()], keys);
  assert.deepEqual(content, await contentOf(from));
  await from.putIfAbsent('blobs/new/stream/block', Buffer.from('new'));
  const second = await copy([from.url, to.url, '--verify', '--json']);
  assert.equal(second.status, 0, second.stderr);
  const { copied, present, is_checked_with_database: isChecked } = JSON.parse(second.stdout);
  assert.deepEqual({ copied, present, isChecked }, { copied: 1, present: 41, isChecked: false });
});

test('a copy that is interrupted leaves whole objects only, and the next run does the rest', async () => {
  await using from = await openObjectStore(urlOf('from'));
  await using to = await openObjectStore(urlOf('to'));
  const keys = await fill(from, 20);
  const abort = new AbortController();
  const copying = runCommand(['copy-store', from.url, to.url, '--concurrency', '1'], {
    signal: abort.signal,
  });
  while ((await contentOf(to)).size < 3) await delay(1);
  abort.abort(new InterruptedError('SIGINT'));
  const { status, stderr, stdout } = await copying;
  assert.equal(status, 130, stdout);
  assert.match(stderr, /interrupted/);
  const [wanted, there] = [await contentOf(from), await contentOf(to)];
  assert.ok(there.size < keys.length, `${there.size} copied before the interruption`);
  for (const [key, hash] of there) assert.equal(hash, wanted.get(key), key);
  const rest = await copy([from.url, to.url]);
  assert.equal(rest.status, 0, rest.stderr);
  assert.match(
    rest.stdout,
    new RegExp(`^${keys.length - there.size} copied .*, ${there.size} there`),
  );
  assert.deepEqual(await contentOf(to), wanted);
});

test('an object that the target has with other bytes is named and left', async () => {
  await using from = await openObjectStore(urlOf('from'));
  await using to = await openObjectStore(urlOf('to'));
  await from.putIfAbsent('blobs/a/b/size', Buffer.from('12345'));
  await to.putIfAbsent('blobs/a/b/size', Buffer.from('1234'));
  await from.putIfAbsent('blobs/a/b/bytes', Buffer.from('12345'));
  await to.putIfAbsent('blobs/a/b/bytes', Buffer.from('1234x'));
  const sizes = await copy([from.url, to.url]);
  assert.equal(sizes.status, 1);
  assert.match(sizes.stderr, /different: blobs\/a\/b\/size \(4 bytes instead of 5\)/);
  assert.match(sizes.stdout, /1 there already, 1 different/);
  const verified = await copy([from.url, to.url, '--verify']);
  assert.equal(verified.status, 1);
  assert.match(verified.stderr, /different: blobs\/a\/b\/bytes \(the bytes differ\)/);
  assert.equal((await to.get('blobs/a/b/bytes')).toString(), Buffer.from('1234x').toString());
});

test('what cannot be stored is named, and the rest is copied', async () => {
  await using from = await openObjectStore(urlOf('from'));
  await using to = await openObjectStore(urlOf('to'));
  await from.putIfAbsent('blobs/a/b/c', Buffer.from('fine'));
  await mkdir(path.join(directory, 'from/blobs/a/x y'));
  await writeFile(path.join(directory, 'from/blobs/a/x y/z'), 'strange');
  const { status, stdout, stderr } = await copy([from.url, to.url]);
  assert.equal(status, 1);
  assert.match(stdout, /1 copied .* 1 failed/);
  assert.match(stderr, /failed: blobs\/a\/x y\/z \(.*not allowed/);
});

test('a source that is not there is said so before anything is written', async () => {
  const { status, stderr } = await copy([urlOf('nowhere'), urlOf('to')]);
  assert.equal(status, 1);
  assert.match(stderr, /no directory .*nowhere/);
  await writeFile(path.join(directory, 'file'), '');
  await mkdir(path.join(directory, 'from'));
  const blocked = await copy([urlOf('from'), urlOf('file')]);
  assert.equal(blocked.status, 1);
  assert.match(blocked.stderr, /does not serve .*run it again/);
});

test('what Postgres names and no store has is missing; what is there counts as before', async () => {
  await using postgres = await startTestPostgres();
  await using db = openDatabase(postgres.url);
  await migrate(db);
  await using from = await openObjectStore(urlOf('from'));
  await using to = await openObjectStore(urlOf('to'));
  const ids = [randomUUID(), randomUUID(), randomUUID()];
  await db.query(sql`
    INSERT INTO blocks (block_id, stream_id, process_id, begin_time, begin_ticks, end_time, end_ticks, nb_objects,
      object_offset, payload_size, content_sha256)
    SELECT id::uuid, ${ids[0]}::uuid, ${ids[0]}::uuid, now(), 0, now(), 0, 1, 0, 4, sha256('')
    FROM unnest(${ids}::text[]) AS id`);
  const keyOf = (id: string | undefined) => `blobs/${ids[0]}/${ids[0]}/${id}`;
  await from.putIfAbsent(keyOf(ids[0]), Buffer.from('here'));
  await to.putIfAbsent(keyOf(ids[1]), Buffer.from('here'));
  const env = { TRACELAKE_DATABASE_URL: postgres.url };
  const { status, stdout, stderr } = await copy([from.url, to.url], env);
  assert.equal(status, 1);
  assert.match(stdout, /1 copied \(4 B\), 0 there already, 0 different, 0 failed, 1 missing/);
  assert.match(stderr, new RegExp(`missing: ${keyOf(ids[2])}`));
  await from.putIfAbsent(keyOf(ids[2]), Buffer.from('here'));
  assert.equal((await copy([from.url, to.url, '--verify'], env)).status, 0);
});

test('a directory arrives in S3 and comes back from it, byte for byte', async (context) => {
  const server = await startTestS3();
  if ('unavailable' in server) {
    context.skip(server.unavailable);
    return;
  }
  await using s3 = server;
  const { accessKeyId, secretAccessKey, endpoint } = s3;
  // The AWS SDK reads them from the environment of the process that runs the command.
  const { AWS_ACCESS_KEY_ID: savedId, AWS_SECRET_ACCESS_KEY: savedKey } = process.env;
  process.env.AWS_ACCESS_KEY_ID = accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = secretAccessKey;
  try {
    await using from = await openObjectStore(urlOf('from'));
    await using back = await openObjectStore(urlOf('back'));
    const credentials = { accessKeyId, secretAccessKey: new Secret(secretAccessKey) };
    await using remote = await openObjectStore(s3.url, { endpoint, credentials });
    await fill(from, 2);
    const env = { TRACELAKE_S3_ENDPOINT_URL: endpoint };
    const there = await copy([from.url, s3.url, '--verify', '--concurrency', '4'], env);
    assert.equal(there.status, 0, there.stderr);
    assert.match(there.stdout, /^21 copied/);
    assert.deepEqual(await contentOf(remote), await contentOf(from));
    assert.match(
      (await copy([from.url, s3.url], env)).stdout,
      /^0 copied \(0 B\), 21 there already/,
    );
    const again = await copy([s3.url, back.url, '--from-endpoint', endpoint, '--verify']);
    assert.equal(again.status, 0, again.stderr);
    assert.deepEqual(await contentOf(back), await contentOf(from));
  } finally {
    restore('AWS_ACCESS_KEY_ID', savedId);
    restore('AWS_SECRET_ACCESS_KEY', savedKey);
  }
});

function restore(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}
