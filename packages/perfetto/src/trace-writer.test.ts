import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nanoseconds } from '@tracelake/domain';
import { decodeTrace, longestMapKey } from '@tracelake/test-kit';
import { InternedScope, type InternLimits } from './interning.ts';
import { TraceWriter, type Track } from './trace-writer.ts';

const START_NS = 1_700_000_000_000_000_000n;

function startTrace(limits?: InternLimits): {
  writer: TraceWriter;
  process: Track;
  thread: Track;
} {
  const writer = new TraceWriter(limits);
  const process = writer.writeProcess({
    uuid: 0x5087_58f2_1d92_a943n,
    pid: 496_150_851,
    name: 'app',
    commandLine: '/usr/bin/app',
    startNs: nanoseconds(START_NS),
    description: 'on build-host',
  });
  const thread = writer.writeThread(
    { uuid: 0xffff_ffff_ffff_ffffn, pid: 496_150_851, tid: 1234, name: 'main-1234' },
    process,
  );
  return { writer, process, thread };
}

function scopeNamed(name: string, line = 7): InternedScope {
  return new InternedScope({ name, category: 'tgt', file: 'a.rs', line });
}

function begin(writer: TraceWriter, track: Track, ns: bigint, scope: InternedScope, open = false) {
  writer.beginSlice(track, Number(ns >> 32n), Number(ns & 0xffff_ffffn), scope, open);
}

function end(writer: TraceWriter, track: Track, ns: bigint) {
  writer.endSlice(track, Number(ns >> 32n), Number(ns & 0xffff_ffffn));
}

test('a process, a thread and a span come back with every field', () => {
  const { writer, thread } = startTrace();
  begin(writer, thread, START_NS, scopeNamed('work'));
  end(writer, thread, START_NS + 1000n);
  const trace = decodeTrace(writer.pending());
  assert.deepEqual(trace.problems, []);
  assert.equal(trace.packetCount, 5);
  assert.deepEqual(trace.tracks, [
    {
      uuid: 0x5087_58f2_1d92_a943n,
      parentUuid: undefined,
      kind: 'process',
      name: 'app',
      pid: 496_150_851,
      tid: undefined,
      commandLine: '/usr/bin/app',
      description: 'on build-host',
    },
    {
      uuid: 0xffff_ffff_ffff_ffffn,
      parentUuid: 0x5087_58f2_1d92_a943n,
      kind: 'thread',
      name: 'main-1234',
      pid: 496_150_851,
      tid: 1234,
      commandLine: undefined,
      description: undefined,
    },
  ]);
  assert.deepEqual(trace.slices, [
    {
      track: trace.tracks[1],
      name: 'work',
      category: 'tgt',
      file: 'a.rs',
      line: 7,
      beginNs: START_NS,
      endNs: START_NS + 1000n,
      depth: 0,
      open: false,
    },
  ]);
});

test('the bytes of a span are those of the published worked example, in field order of ours', () => {
  const { writer, process } = startTrace();
  const thread = writer.writeThread(
    { uuid: 1_910_784_146_422_321_566n, pid: 496_150_851, tid: 1235, name: 'main' },
    process,
  );
  writer.clearPending();
  begin(writer, thread, START_NS, scopeNamed('work'));
  end(writer, thread, START_NS + 1000n);
  const beginPacket =
    '0a44 5001 6802 408080a8b1e39fe7cb17' +
    '5a13 1801 4801 5001 589ea3cd8feb819ec21a 900201' +
    '621f 0a07 0801 1203746774 1208 0801 1204776f726b 220a 0801 1204612e7273 2007';
  const endPacket = '0a1c 5001 6802 40e887a8b1e39fe7cb17 5a0c 4802 589ea3cd8feb819ec21a';
  const hex = Buffer.from(writer.pending()).toString('hex');
  assert.equal(hex, (beginPacket + endPacket).replaceAll(' ', ''));
});

test('a name of a megabyte and one of every length around a varint border survive', () => {
  const { writer, thread } = startTrace();
  const names = ['', 'é'.repeat(500_000), '日本語 🚀'];
  for (let length = 60; length < 140; length += 1) names.push('x'.repeat(length));
  for (let length = 16_300; length < 16_400; length += 1) names.push('y'.repeat(length));
  let ns = START_NS;
  for (const name of names) {
    begin(writer, thread, ns, scopeNamed(name));
    end(writer, thread, ns + 5n);
    ns += 10n;
  }
  const trace = decodeTrace(writer.pending());
  assert.deepEqual(trace.problems, []);
  assert.deepEqual(
    trace.slices.map((slice) => slice.name),
    names,
  );
});

test('times of every magnitude keep their nanosecond', () => {
  const { writer, thread } = startTrace();
  const times = [0n, 1n, 127n, 128n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n];
  for (const ns of times) {
    begin(writer, thread, ns, scopeNamed('t'));
    end(writer, thread, ns);
  }
  const trace = decodeTrace(writer.pending());
  assert.deepEqual(trace.problems, []);
  assert.deepEqual(
    trace.slices.map((slice) => slice.beginNs),
    times,
  );
});

test('a full interning table restarts and every slice still has its own name', () => {
  for (const limits of [
    { entriesMax: 7, bytesMax: 1_000_000 },
    { entriesMax: 1000, bytesMax: 30 },
  ]) {
    const { writer, thread } = startTrace(limits);
    const scopes = Array.from({ length: 40 }, (_, i) => scopeNamed(`name-${i}`, i % 3));
    const expected: string[] = [];
    let ns = START_NS;
    for (let i = 0; i < 500; i += 1) {
      const scope = scopes[(i * 17 + (i >> 3)) % scopes.length] ?? scopeNamed('none');
      begin(writer, thread, ns, scope);
      end(writer, thread, ns + 1n);
      expected.push(`${scope.scope.name}:${scope.scope.line}`);
      ns += 2n;
    }
    const trace = decodeTrace(writer.pending());
    assert.deepEqual(trace.problems, []);
    assert.ok(trace.restartCount > 10, `restarts: ${trace.restartCount}`);
    assert.deepEqual(
      trace.slices.map((slice) => `${slice.name}:${slice.line}`),
      expected,
    );
  }
});

test('many long names of one length cost no more than their bytes', () => {
  const { writer, thread } = startTrace();
  const longest = longestMapKey(() => {
    for (let index = 0; index < 10; index += 1)
      begin(writer, thread, START_NS, scopeNamed(`${'x'.repeat(20_000)}${index}`));
  });
  assert.ok(longest < 16_384);
});

test('names in use stay interned while the table has room', () => {
  const { writer, thread } = startTrace();
  const scope = scopeNamed('again');
  for (let i = 0n; i < 1000n; i += 1n) {
    begin(writer, thread, START_NS + 2n * i, scope);
    end(writer, thread, START_NS + 2n * i + 1n);
  }
  const trace = decodeTrace(writer.pending());
  assert.equal(trace.sliceCount, 1000);
  assert.equal(trace.restartCount, 1);
  assert.equal(Buffer.from(writer.pending()).toString('latin1').split('again').length - 1, 1);
});

test('an open span and an instant carry their marks', () => {
  const { writer, process } = startTrace();
  const lane = writer.writeTrack({ uuid: 9n, parent: process, name: 'Async Operations' });
  begin(writer, lane, START_NS, scopeNamed('forever'), true);
  writer.instant(
    lane,
    Number(START_NS >> 32n),
    Number(START_NS & 0xffff_ffffn),
    scopeNamed('i'),
    true,
  );
  end(writer, lane, START_NS + 9n);
  const trace = decodeTrace(writer.pending());
  assert.deepEqual(trace.problems, []);
  assert.deepEqual(
    trace.slices.map(({ name, open }) => ({ name, open })),
    [{ name: 'forever', open: true }],
  );
  assert.deepEqual(
    trace.instants.map(({ name, open, track }) => ({ name, open, track: track.name })),
    [{ name: 'i', open: true, track: 'Async Operations' }],
  );
});

test('the decoder used here sees what is wrong with a trace', () => {
  const { writer, thread } = startTrace();
  begin(writer, thread, START_NS + 10n, scopeNamed('late'));
  begin(writer, thread, START_NS, scopeNamed('early'));
  end(writer, thread, START_NS + 20n);
  const problems = decodeTrace(writer.pending()).problems;
  assert.ok(problems.some((problem) => problem.includes('goes back in time')));
  assert.ok(problems.some((problem) => problem.includes('left open')));
  const cut = decodeTrace(writer.pending().subarray(0, writer.pendingBytes - 1)).problems;
  assert.ok(cut.some((problem) => problem.includes('cut short')));
});

test('times and numbers of every length come back, however often a scope was written', () => {
  const writer = new TraceWriter();
  const startNs = nanoseconds(0n);
  const names = { pid: 7, name: 'app', commandLine: '/usr/bin/app', description: '' };
  const process = writer.writeProcess({ uuid: 5n, startNs, ...names });
  const tracks = [1n, 127n, 0x8000n, 0xffff_ffff_ffff_ffffn].map((uuid) =>
    writer.writeTrack({ uuid, parent: process, name: `${uuid}` }),
  );
  const scopes = Array.from({ length: 20_000 }, (_, line) => scopeNamed(`scope ${line}`, line));
  const times = Array.from({ length: 63 }, (_, bit) => (1n << BigInt(bit)) + BigInt(bit * 77));
  const wanted: string[] = [];
  times.forEach((ns, i) => {
    for (const [at, track] of tracks.entries()) {
      for (const line of [i, 127 + i, 128 + i, 16_383 + i, i]) {
        const scope = scopes[line] ?? scopeNamed('');
        begin(writer, track, ns, scope);
        end(writer, track, ns);
        wanted.push(`${tracks[at]?.uuid} ${ns} scope ${line}`);
      }
    }
  });
  const trace = decodeTrace(writer.pending());
  assert.deepEqual(trace.problems, []);
  const actual = trace.slices.map(({ track, beginNs, endNs, name }) => {
    assert.equal(endNs, beginNs);
    return `${track.uuid} ${beginNs} ${name}`;
  });
  assert.deepEqual(actual, wanted);
});
