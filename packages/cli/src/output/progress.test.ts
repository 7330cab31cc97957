import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Progress } from './progress.ts';
import { formatBytes, formatDuration } from './quantity.ts';
import { formatTable } from './table.ts';

function collect(isTTY: boolean) {
  const written: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk));
      done();
    },
  });
  return { written, stream: Object.assign(stream, { isTTY }) };
}

test('a terminal sees one line that is rewritten', () => {
  let nowMs = 0;
  const { written, stream } = collect(true);
  const progress = new Progress({ stream, nowMs: () => nowMs });
  progress.facts = ', 3 blocks';
  for (let step = 0; step < 10; step += 1) {
    nowMs += 100;
    progress.add(1024 * 1024);
  }
  progress.end();
  assert.equal(written.length, 6);
  assert.ok(written.every((text) => text.startsWith('\r\x1b[K')));
  assert.match(written[4] ?? '', /10\.0 MiB in 1\.0 s \(10\.0 MiB\/s\), 3 blocks$/);
});

test('a log sees nothing of a short transfer and a line every few seconds of a long one', () => {
  let nowMs = 0;
  const { written, stream } = collect(false);
  const progress = new Progress({ stream, nowMs: () => nowMs });
  for (let second = 0; second < 4; second += 1) {
    nowMs += 1000;
    progress.add(10);
  }
  assert.equal(written.length, 0);
  for (let second = 0; second < 8; second += 1) {
    nowMs += 1000;
    progress.add(10);
  }
  assert.equal(written.length, 2);
  assert.ok(written.every((text) => text.endsWith('\n')));
});

test('quantities are short and say their unit', () => {
  assert.deepEqual([0, 1023, 1536, 5 * 1024 ** 3].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '5.0 GiB',
  ]);
  assert.deepEqual([40, 61_500].map(formatDuration), ['0.0 s', '1 min 2 s']);
});

test('a table is as wide as its cells', () => {
  assert.equal(
    formatTable(
      ['A', 'NAME'],
      [
        ['1', 'x'],
        ['234', 'yz'],
      ],
    ),
    'A    NAME\n1    x\n234  yz\n',
  );
});
