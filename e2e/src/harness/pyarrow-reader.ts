/** Arrow files read by pyarrow, where this machine's Python has it. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { AnswerTable } from './query-answers.ts';

const run = promisify(execFile);
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

const PROGRAM = `
import json, sys
import pyarrow as pa

def text(value):
    if value is None: return ''
    if isinstance(value, list): return json.dumps(value, ensure_ascii=False, separators=(',', ':'))
    if isinstance(value, bool): return 'true' if value else 'false'
    return repr(value) if isinstance(value, float) else str(value)

def cells(column):
    if pa.types.is_dictionary(column.type): column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type):
        assert column.type.unit == 'ns', column.type
        column = column.cast(pa.int64())
    return [text(value) for value in column.to_pylist()]

for path in sys.argv[1:]:
    table = pa.ipc.open_stream(path).read_all()
    table.validate(full=True)
    rows = list(zip(*[cells(column) for column in table.columns]))
    print(json.dumps({'header': table.schema.names, 'rows': rows}))
`;

/** The release of pyarrow; undefined where Python or pyarrow is not installed. */
export async function findPyarrow(): Promise<string | undefined> {
  const ask = ['-c', 'import pyarrow; print(pyarrow.__version__)'];
  const answer = await run('python3', ask).catch(() => undefined);
  return answer?.stdout.trim();
}

/** Reads Arrow streams, each checked in full. */
export async function readWithPyarrow(streams: readonly Uint8Array[]): Promise<AnswerTable[]> {
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-e2e-arrow-'));
  try {
    const files = await Promise.all(
      streams.map(async (bytes, index) => {
        const file = join(directory, `${index}.arrows`);
        await writeFile(file, bytes);
        return file;
      }),
    );
    const { stdout } = await run('python3', ['-c', PROGRAM, ...files], {
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AnswerTable);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
