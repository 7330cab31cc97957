/**
 * Posts blocks over keep-alive connections until its time is over. A process of its own and lean (no HTTP library),
 * so that the clients' work is small beside the server's. Answers each `LoadOrder` with a `LoadResult`.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { ensureExists, parseStreamId } from '@tracelake/domain';
import { encodeLz4Frame, loadFixture } from '@tracelake/test-kit';
import { decodeBlockEnvelope, encodeBlockEnvelope } from '@tracelake/transit';

export interface LoadOrder {
  readonly port: number;
  readonly connections: number;
  /** Of a whole request body, about. */
  readonly blockBytes: number;
  readonly durationMs: number;
}

export interface LoadResult {
  readonly acknowledged: number;
  /** Answered with 503: to be sent again. */
  readonly refused: number;
  readonly bodyBytes: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const BLOCK_PATH = '/ingestion/insert_block';
const ANSWER_END = Buffer.from('\r\n\r\n');

process.on('message', (order: LoadOrder) => {
  void runOrder(order).then((result) => process.send?.(result));
});

async function runOrder(order: LoadOrder): Promise<LoadResult> {
  const lanes = await Promise.all(
    Array.from({ length: order.connections }, async () => {
      const socket = connect({ port: order.port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      return { socket, request: makeRequest(order.blockBytes) };
    }),
  );
  const tally = { acknowledged: 0, refused: 0, bodyBytes: 0, latenciesMs: [] as number[] };
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const endMs = startMs + order.durationMs;
  await Promise.all(lanes.map(({ socket, request }) => post(socket, request, { endMs, tally })));
  const wallMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpuBefore);
  for (const { socket } of lanes) socket.destroy();
  const sorted = tally.latenciesMs.sort((a, b) => a - b);
  const { acknowledged, refused, bodyBytes } = tally;
  return {
    acknowledged,
    refused,
    bodyBytes,
    wallMs,
    cpuMs: (user + system) / 1000,
    p50Ms: sorted[Math.floor(sorted.length * 0.5)] ?? 0,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  };
}

interface BlockRequest {
  /** Head and body, so that one call sends both. */
  readonly bytes: Buffer;
  readonly bodyBytes: number;
  /** Where the id stands, which makes each request a block of its own. */
  readonly idOffset: number;
}

/** A recorded block with noise of the wanted size as its payload; its stream is its connection's own. */
function makeRequest(blockBytes: number): BlockRequest {
  const recorded = loadFixture('small').requests.find(({ path }) => path === BLOCK_PATH);
  const block = decodeBlockEnvelope(ensureExists(recorded, 'a recorded block').body);
  const noise = randomBytes(Math.max(16, blockBytes - 500));
  const payload = { ...block.payload, objects: encodeLz4Frame(noise, { compress: false }) };
  const streamId = ensureExists(parseStreamId(randomUUID()), 'a stream id');
  const body = Buffer.from(encodeBlockEnvelope({ ...block, streamId, payload }, 'rust'));
  const idOffset = body.indexOf(block.blockId, 0, 'latin1');
  if (idOffset < 0) throw new Error('the envelope holds its id as text');
  const head = Buffer.from(
    `POST ${BLOCK_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  const bytes = Buffer.concat([head, body]);
  return { bytes, bodyBytes: body.length, idOffset: head.length + idOffset };
}

interface Posting {
  readonly endMs: number;
  readonly tally: {
    acknowledged: number;
    refused: number;
    bodyBytes: number;
    readonly latenciesMs: number[];
  };
}

/** One request after the other; the next one leaves when the answer is there. */
function post(socket: Socket, request: BlockRequest, { endMs, tally }: Posting): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sentMs = 0;
  let answer: Buffer = Buffer.alloc(0);
  const send = () => {
    request.bytes.write(randomUUID(), request.idOffset, 'latin1');
    sentMs = performance.now();
    socket.write(request.bytes);
  };
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the server closed the connection')));
  socket.on('data', (chunk: Buffer) => {
    answer = answer.length === 0 ? chunk : Buffer.concat([answer, chunk]);
    const status = completeStatus(answer);
    if (status === undefined) return;
    answer = Buffer.alloc(0);
    const nowMs = performance.now();
    if (status === 200) {
      tally.acknowledged += 1;
      tally.bodyBytes += request.bodyBytes;
      tally.latenciesMs.push(nowMs - sentMs);
    } else if (status === 503) {
      tally.refused += 1;
    } else {
      reject(new Error(`answered with ${status}`));
      return;
    }
    if (nowMs >= endMs) resolve();
    else send();
  });
  send();
  return promise;
}

/** The status of an answer that is there to its last byte; answers here are never chunked. */
function completeStatus(answer: Buffer): number | undefined {
  const headEnd = answer.indexOf(ANSWER_END);
  if (headEnd < 0) return undefined;
  const head = answer.toString('latin1', 0, headEnd);
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  if (answer.length < headEnd + ANSWER_END.length + length) return undefined;
  return Number(head.slice(9, 12));
}
