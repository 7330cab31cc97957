import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CsvRow, readCsvRows } from './csv-rows.ts';

const text = 'a,"b ""q""",c\n1,,""\n"line 1\nline 2",é🚀,"x,y"\n';
const wanted: CsvRow[] = [
  ['a', 'b "q"', 'c'],
  ['1', null, ''],
  ['line 1\nline 2', 'é🚀', 'x,y'],
];

async function rowsOf(bytes: Uint8Array, chunkBytes: number): Promise<CsvRow[]> {
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  }
  return await Array.fromAsync(readCsvRows(chunks()));
}

test('rows are the same wherever the chunks are cut, and null is not the empty text', async () => {
  const bytes = Buffer.from(text);
  for (let chunkBytes = 1; chunkBytes <= bytes.length; chunkBytes += 1) {
    assert.deepEqual(await rowsOf(bytes, chunkBytes), wanted, `${chunkBytes} bytes a chunk`);
  }
});

test('an answer that ends inside a row is no answer', async () => {
  for (const part of ['a,b\n1', 'a,b\n1,', 'a,b\n"1', 'a,b\n"1"']) {
    await assert.rejects(rowsOf(Buffer.from(part), 100), { code: 'cli.bad-answer' }, part);
  }
});

test('a single column has a row for each null', async () => {
  assert.deepEqual(await rowsOf(Buffer.from('a\n\n""\n'), 100), [['a'], [null], ['']]);
});
