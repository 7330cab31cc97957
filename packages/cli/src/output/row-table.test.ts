import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitWidths, RowTable } from './row-table.ts';
import { displayWidth } from './terminal-text.ts';

async function drawn(
  header: readonly string[],
  rows: readonly (readonly (string | null)[])[],
  widthMax?: number,
): Promise<string> {
  let text = '';
  const table = new RowTable({
    header,
    widthMax,
    write: async (part) => {
      text += part;
    },
  });
  for (const row of rows) await table.add(row);
  await table.flush();
  return text;
}

test('numbers are aligned to the right, texts to the left, and a null is empty', async () => {
  const rows = [
    ['one', '1', null],
    ['twelve', '-12.5', 'x'],
  ];
  assert.equal(
    await drawn(['name', 'n', 'note'], rows),
    ['name        n  note', '──────  ─────  ────', 'one         1', 'twelve  -12.5  x', ''].join(
      '\n',
    ),
  );
});

test('no line is wider than the terminal, whatever the widths of its columns', async () => {
  const cells = ['short', 'a'.repeat(200), '日本語のとても長いテキスト'.repeat(3), '🚀'.repeat(30)];
  for (const widthMax of [30, 40, 79, 80, 133]) {
    const text = await drawn(['a', 'b', 'c', 'd'], [cells], widthMax);
    for (const line of text.trimEnd().split('\n')) assert.ok(displayWidth(line) <= widthMax, line);
    assert.match(text, /…/);
    assert.match(text, /short/);
  }
});

test('the widest columns give way first, and what is left over is used', () => {
  assert.deepEqual(fitWidths([5, 50, 10], 40), [5, 21, 10]);
  assert.deepEqual(fitWidths([30, 30], 41), [20, 19]);
  assert.deepEqual(fitWidths([30, 30], undefined), [30, 30]);
  assert.deepEqual(fitWidths([30, 30, 30], 5), [4, 4, 4]);
});

test('what a terminal would obey is written out', async () => {
  const text = await drawn(['a'], [['\x1b[31mred\x1b[0m\nnext\ttab \u202eback']]);
  assert.match(text, /\\u001b\[31mred\\u001b\[0m\\nnext\\ttab \\u202eback/);
});

test('rows beyond those that are measured keep to the columns', async () => {
  const rows = Array.from({ length: 1500 }, (_, index) => [`${index}`, 'x'.repeat(index)]);
  const text = await drawn(['n', 'x'], rows, 60);
  const lines = text.trimEnd().split('\n');
  assert.equal(lines.length, 1502);
  for (const line of lines) assert.ok(displayWidth(line) <= 60);
});
