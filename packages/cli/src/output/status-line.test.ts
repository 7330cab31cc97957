import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { StatusLine } from './status-line.ts';

function makeLine(isTTY: boolean) {
  let text = '';
  let nowMs = 0;
  const stream = Object.assign(
    new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    }),
    { isTTY },
  );
  const line = new StatusLine({ stream, nowMs: () => nowMs });
  const at = (ms: number, words: string) => {
    nowMs = ms;
    line.update(() => words);
  };
  return { line, at, text: () => text };
}

test('a terminal has one line that is rewritten a few times a second and cleared in the end', () => {
  const { line, at, text } = makeLine(true);
  at(100, 'too soon');
  at(250, 'first');
  at(300, 'too soon');
  at(500, 'second');
  line.end();
  assert.equal(text(), '\r\x1b[Kfirst\r\x1b[Ksecond\r\x1b[K');
});

test('a log has a line every few seconds, and none for short work', () => {
  const { line, at, text } = makeLine(false);
  at(4000, 'too soon');
  at(5000, 'first');
  at(9000, 'too soon');
  line.end();
  assert.equal(text(), 'first\n');
});
