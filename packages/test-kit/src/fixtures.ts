/** Recordings of real clients with the rows they must give, as `fixtures/README.md` describes them. */
import { readdirSync, readFileSync } from 'node:fs';
import { parseCsv } from './csv.ts';

const ROOT = new URL('../fixtures/native/', import.meta.url);

export interface IngestRequest {
  /** Such as `/ingestion/insert_block`. */
  readonly path: string;
  readonly body: Uint8Array;
}

export interface CsvTable {
  readonly header: string[];
  readonly rows: string[][];
}

export interface NativeFixture {
  readonly name: string;
  readonly processId: string;
  /** In their recorded order of arrival. */
  readonly requests: IngestRequest[];
  /** The rows of `expected/<view>.csv`; of a thread's spans with `thread_spans.<stream id>`. */
  expected(view: string): CsvTable;
  /** Ids of the streams that have a `thread_spans` table. */
  expectedThreadSpanStreams(): string[];
}

/** Names of the recordings, sorted. */
export function fixtureCases(): string[] {
  return readdirSync(ROOT).sort();
}

/** The directory of a recording, as `tracelake replay` takes it. */
export function fixtureDirectory(name: string): URL {
  return new URL(`${name}/`, ROOT);
}

export function loadFixture(name: string): NativeFixture {
  const directory = fixtureDirectory(name);
  const read = (path: string): Buffer => readFileSync(new URL(path, directory));
  return {
    name,
    processId: read('process_id').toString().trim(),
    requests: read('requests/index.jsonl')
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { file: string; path: string })
      .map(({ file, path }) => ({ path, body: read(`requests/${file}`) })),
    expected: (view) => {
      const [header = [], ...rows] = parseCsv(read(`expected/${view}.csv`).toString());
      return { header, rows };
    },
    expectedThreadSpanStreams: () =>
      readdirSync(new URL('expected/', directory))
        .map((file) => /^thread_spans\.(.+)\.csv$/.exec(file)?.[1])
        .filter((streamId) => streamId !== undefined),
  };
}
