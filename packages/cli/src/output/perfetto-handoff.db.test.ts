import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, test } from 'node:test';
import type { CommandContext } from '../command.ts';
import { claimPorts } from '../stack/ports.ts';
import { handToPerfetto } from './perfetto-handoff.ts';

let directory = '';
let file = '';
before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'tracelake-handoff-'));
  file = path.join(directory, 'a trace.pftrace');
  await writeFile(file, 'trace bytes');
});
after(() => rm(directory, { recursive: true, force: true }));

function makeContext(signal = new AbortController().signal) {
  const said: string[] = [];
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      said.push(String(chunk));
      done();
    },
  });
  const context: CommandContext = {
    env: {},
    cwd: '/',
    signal,
    stdin: Readable.from([]),
    stdout: stderr,
    stderr,
  };
  return { said, context };
}

async function freePort(): Promise<number> {
  const ports = await claimPorts('127.0.0.1', {
    ingest: 0,
    'trace-export': 0,
    query: 0,
    materializer: 0,
  });
  return ports.ingest;
}

test('the page fetches the file once, whole and allowed to, and then it is over', async () => {
  const { said, context } = makeContext();
  const port = await freePort();
  let fetched: Promise<Response> | undefined;
  await handToPerfetto(file, context, {
    port,
    openBrowser: (page) => {
      const url = new URLSearchParams(new URL(page).hash.replace('#!/?', '')).get('url') ?? '';
      assert.equal(url, `http://127.0.0.1:${port}/a trace.pftrace`);
      fetched = fetch(url);
      return true;
    },
  });
  const response = await fetched;
  assert.equal(response?.headers.get('access-control-allow-origin'), 'https://ui.perfetto.dev');
  assert.equal(await response?.text(), 'trace bytes');
  assert.match(said.join(''), /the Perfetto UI has the trace/);
});

test('no other file is served', async () => {
  const { context } = makeContext();
  const port = await freePort();
  const statuses: number[] = [];
  await handToPerfetto(file, context, {
    port,
    openBrowser: () => {
      void (async () => {
        for (const name of ['', 'etc/passwd', '..%2f..%2fetc%2fpasswd']) {
          statuses.push((await fetch(`http://127.0.0.1:${port}/${name}`)).status);
        }
        await (await fetch(`http://127.0.0.1:${port}/a%20trace.pftrace`)).text();
      })();
      return true;
    },
  });
  assert.deepEqual(statuses, [404, 404, 404]);
});

test('without a browser, or with the port taken, the path is printed instead', async () => {
  const port = await freePort();
  const without = makeContext();
  await handToPerfetto(file, without.context, { port, openBrowser: () => false });
  assert.ok(without.said.join('').includes(file));
  const busy = makeContext();
  const waiting = new AbortController();
  const holder = handToPerfetto(file, makeContext(waiting.signal).context, {
    port,
    openBrowser: () => true,
  });
  await handToPerfetto(file, busy.context, { port, openBrowser: () => true });
  assert.match(busy.said.join(''), /busy/);
  assert.ok(busy.said.join('').includes(file));
  waiting.abort(new Error('enough'));
  await assert.rejects(holder, /enough/);
});

test('a page that never comes is not waited for without end', async () => {
  const { said, context } = makeContext();
  await handToPerfetto(file, context, {
    port: await freePort(),
    openBrowser: () => true,
    waitMs: 20,
  });
  assert.ok(said.join('').includes(file));
});
