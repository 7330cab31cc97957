import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { lingerBeforeClose } from './lingering-close.ts';

/** Refuses every request before it has read any of its body. */
async function startRefusing() {
  const server = createServer((incoming, response) => {
    lingerBeforeClose(incoming);
    response.writeHead(413, { connection: 'close' }).end('too large');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
  return { port, [Symbol.asyncDispose]: close };
}

test('a client that is still sending its body gets the answer and not a broken pipe', async () => {
  await using server = await startRefusing();
  for (let round = 0; round < 10; round++) {
    const headers = { 'content-length': 32 << 20 };
    const sent = request({ port: server.port, method: 'POST', headers });
    sent.end(Buffer.alloc(32 << 20));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 413);
    response.resume();
    await once(response, 'end');
  }
});

test('a client that sends no more is hung up on at once', async () => {
  await using server = await startRefusing();
  const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  const startMs = performance.now();
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nfour');
  socket.resume();
  await once(socket, 'end');
  socket.end();
  await once(socket, 'close');
  assert.ok(performance.now() - startMs < 2000);
});
