import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { CliError } from '../cli-error.ts';
import { claimPorts, probeHost } from './ports.ts';

async function occupy(answer: string) {
  const server = createServer((_request, response) => response.end(answer));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const open = { ingest: 0, 'trace-export': 0, query: 0, materializer: 0 };

test('a port that is left open is chosen, each another one', async () => {
  const ports = Object.values(await claimPorts('127.0.0.1', open));
  assert.equal(new Set(ports).size, 4);
  assert.ok(ports.every((port) => port > 0));
});

test('every busy port is named with who has it and the variable that moves the service', async () => {
  await using stranger = await occupy('hello');
  await using sibling = await occupy('{"status":"ready","failing":[],"checks":{}}');
  const wanted = { ...open, ingest: stranger.port, materializer: sibling.port };
  await assert.rejects(claimPorts('127.0.0.1', wanted), (error) => {
    assert.ok(error instanceof CliError);
    assert.match(error.message, new RegExp(`${stranger.port}.*ingest.*another program`));
    assert.match(error.message, new RegExp(`${sibling.port}.*materializer.*another Tracelake`));
    assert.match(error.message, /TRACELAKE_INGEST_PORT/);
    assert.match(error.message, /TRACELAKE_MATERIALIZER_PORT/);
    return true;
  });
});

test('two services on one port are refused', async () => {
  const [port = 0] = Object.values(await claimPorts('127.0.0.1', open));
  const wanted = { ingest: port, 'trace-export': port, query: 0, materializer: 0 };
  await assert.rejects(claimPorts('127.0.0.1', wanted), /two services/);
});

test('a service bound to every address is reached over loopback', () => {
  assert.deepEqual(['0.0.0.0', '::', '::1', '127.0.0.1'].map(probeHost), [
    '127.0.0.1',
    '[::1]',
    '[::1]',
    '127.0.0.1',
  ]);
});
