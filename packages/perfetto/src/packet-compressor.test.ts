import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds } from '@tracelake/domain';
import { decodeTrace, inflateTrace, seededRandom } from '@tracelake/test-kit';
import { InternedScope } from './interning.ts';
import { PACKET_GROUP_BYTES, PacketCompressor, type PacketSink } from './packet-compressor.ts';
import { TraceWriter } from './trace-writer.ts';

/** A trace of some megabytes that restarts its interned names, as its bytes. */
function sampleTrace(longName = 'long'): Uint8Array {
  const writer = new TraceWriter({ entriesMax: 500, bytesMax: 8 * 1024 * 1024 });
  const startNs = nanoseconds(1_700_000_000_000_000_000n);
  const process = writer.writeProcess({
    uuid: 1n,
    pid: 7,
    name: 'app',
    commandLine: '/usr/bin/app',
    startNs,
    description: '',
  });
  const thread = writer.writeThread({ uuid: 2n, pid: 7, tid: 8, name: 'main' }, process);
  const scopes = Array.from({ length: 400 }, (_, line) => {
    const name = line === 250 ? longName : `call ${line}`;
    return new InternedScope({ name, category: 'target', file: 'main.rs', line });
  });
  for (let at = 0; at < 30_000; at += 1) {
    const scope = scopes[at % scopes.length] as InternedScope;
    writer.beginSlice(thread, 0x1797_9cfe, at * 1000, scope, at % 7 === 0);
    writer.endSlice(thread, 0x1797_9cfe, at * 1000 + 900);
  }
  return writer.pending().slice();
}

class Gathering implements PacketSink {
  readonly parts: Uint8Array[] = [];
  flushed = 0;

  async writeAll(bytes: Uint8Array): Promise<void> {
    this.parts.push(bytes.slice());
  }

  async flush(): Promise<void> {
    this.flushed += 1;
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }
}

/** Where each packet of a trace ends. */
function packetEnds(trace: Uint8Array): number[] {
  const ends: number[] = [];
  for (let at = 0; at < trace.length; ) {
    let length = 0;
    let next = at + 1;
    for (let shift = 0; ; shift += 7) {
      const byte = trace[next++] ?? 0;
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    at = next + length;
    ends.push(at);
  }
  return ends;
}

async function compress(trace: Uint8Array, packetsAtOnce: () => number): Promise<Gathering> {
  const sink = new Gathering();
  await using compressor = new PacketCompressor(sink);
  const ends = packetEnds(trace);
  let start = 0;
  for (let packet = 0; packet < ends.length; ) {
    packet = Math.min(packet + packetsAtOnce(), ends.length);
    const end = ends[packet - 1] ?? 0;
    await compressor.writeAll(trace.subarray(start, end));
    start = end;
  }
  await compressor.flush();
  return sink;
}

test('the packets inside are those of the trace, in order, in groups that a reader takes', async () => {
  const trace = sampleTrace();
  const sink = await compress(trace, () => 1000);
  assert.equal(sink.flushed, 1);
  assert.ok(Buffer.from(trace).equals(inflateTrace(sink.bytes)));
  const [plain, compressed] = [decodeTrace(trace), decodeTrace(sink.bytes)];
  assert.deepEqual(compressed.problems, []);
  assert.ok(plain.restartCount > 10);
  assert.equal(compressed.compressedPacketCount, Math.ceil(trace.length / PACKET_GROUP_BYTES));
  assert.deepEqual(compressed.slices, plain.slices);
  assert.ok(sink.bytes.length * 2 < trace.length);
});

test('the bytes do not depend on how the packets are handed over', async () => {
  const trace = sampleTrace('n'.repeat(PACKET_GROUP_BYTES));
  const random = seededRandom(5);
  const whole = await compress(trace, () => Number.POSITIVE_INFINITY);
  const some = await compress(trace, () => 1 + random.int(3000));
  const single = await compress(trace, () => 1);
  assert.ok(Buffer.from(whole.bytes).equals(some.bytes));
  assert.ok(Buffer.from(whole.bytes).equals(single.bytes));
});

test('a packet larger than a group is a group alone', async () => {
  const trace = sampleTrace('n'.repeat(3 * PACKET_GROUP_BYTES));
  const sink = await compress(trace, () => 500);
  assert.deepEqual(decodeTrace(sink.bytes).problems, []);
  assert.ok(Buffer.from(trace).equals(inflateTrace(sink.bytes)));
});

test('nothing written is nothing, and a flush in between ends a group early', async () => {
  const sink = new Gathering();
  await using compressor = new PacketCompressor(sink);
  await compressor.writeAll(new Uint8Array(0));
  await compressor.flush();
  assert.equal(sink.bytes.length, 0);
  const trace = sampleTrace();
  const [, second = 0] = packetEnds(trace);
  await compressor.writeAll(trace.subarray(0, second));
  await compressor.flush();
  assert.ok(sink.bytes.length > 0);
  await compressor.writeAll(trace.subarray(second));
  await compressor.flush();
  assert.ok(Buffer.from(trace).equals(inflateTrace(sink.bytes)));
});

test('a sink that takes nothing stops the writer after a few groups', async () => {
  let release = () => {};
  const blocked = new Promise<void>((resolve) => {
    release = resolve;
  });
  await using compressor = new PacketCompressor({
    writeAll: () => blocked,
    flush: async () => {},
  });
  const trace = sampleTrace();
  let taken = 0;
  const writing = (async () => {
    let start = 0;
    for (const end of packetEnds(trace)) {
      await compressor.writeAll(trace.subarray(start, end));
      start = end;
      taken = end;
    }
  })();
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(taken <= 3 * PACKET_GROUP_BYTES, `${taken} bytes`);
  release();
  await writing;
});

test('an error of the sink reaches the writer', async () => {
  const failure = new Error('the reader is gone');
  await using compressor = new PacketCompressor({
    writeAll: () => Promise.reject(failure),
    flush: async () => {},
  });
  await assert.rejects(async () => {
    await compressor.writeAll(sampleTrace());
    await compressor.flush();
  }, failure);
});
