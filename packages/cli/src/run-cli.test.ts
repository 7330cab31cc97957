import assert from 'node:assert/strict';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { InterruptedError } from './cli-error.ts';
import { runCli } from './run-cli.ts';

class Collected extends Writable {
  text = '';
  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}

async function tracelake(...argv: string[]) {
  const stdout = new Collected();
  const stderr = new Collected();
  const { signal } = new AbortController();
  const status = await runCli(argv, {
    env: {},
    cwd: '/',
    signal,
    stdin: Readable.from([]),
    stdout,
    stderr,
  });
  return { status, stdout: stdout.text, stderr: stderr.text };
}

const commands = [
  'up',
  'processes',
  'export',
  'query',
  'logs',
  'top',
  'replay',
  'partitions',
  'materialize',
  'backfill',
  'migrate',
  'copy-store',
  'retention',
  'dead-letters',
  'doctor',
  'cost',
  'bench',
];

test('every command explains itself with usage and examples', async () => {
  for (const command of commands) {
    for (const argv of [
      [command, '--help'],
      [command, '-h'],
      ['help', command],
    ]) {
      const { status, stdout } = await tracelake(...argv);
      assert.equal(status, 0);
      assert.match(stdout, new RegExp(`^Usage: tracelake ${command}`));
      assert.match(stdout, /Examples?:\n {2}/);
    }
  }
});

test('the overview lists every command and the exit statuses', async () => {
  const { status, stdout } = await tracelake('--help');
  assert.equal(status, 0);
  for (const command of commands) assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
  assert.match(stdout, /130 interrupted/);
});

test('no command at all shows the overview and is a bad command line', async () => {
  const { status, stderr } = await tracelake();
  assert.equal(status, 2);
  assert.match(stderr, /Usage:/);
});

test('what cannot be understood is exit status 2, with what is wrong and where the help is', async () => {
  const id = '9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f';
  const cases: [string[], RegExp][] = [
    [['exprt'], /no command "exprt"/],
    [['export'], /PROCESS_ID/],
    [['export', 'all'], /not a process id/],
    [['export', id, '--spans', 'most'], /both, thread, async/],
    [['export', id, '--begin', 'soon'], /--begin/],
    [['export', id, '-o', '-', '--open'], /--open/],
    [['export', id, '--frobnicate'], /frobnicate/],
    [['processes', '--limit', '0'], /--limit/],
    [['query', ''], /no SQL/],
    [['query', 'SELECT 1', '--format', 'xml'], /table, json, ndjson, csv, arrow/],
    [['query', 'SELECT 1', '--file', 'x.sql'], /--file/],
    [['query', 'SELECT', '1'], /quotes/],
    [['query', 'SELECT 1', '--begin', 'soon'], /--begin/],
    [['logs', 'all'], /not a process id/],
    [['logs', id, '--level', 'loud'], /fatal, error, warn, info, debug, trace/],
    [['logs', id, '--follow', '--end', '1h'], /--end/],
    [['top'], /PROCESS_ID/],
    [['top', id, '--sort', 'name'], /self, total/],
    [['replay', '.', '--times', 'twice'], /--times/],
    [['materialize', 'log_entries'], /VIEW INSTANCE/],
    [['up', '--channel-depth', '0'], /--channel-depth/],
    [['up', 'now'], /no arguments/],
    [['migrate'], /TRACELAKE_DATABASE_URL/],
    [['backfill'], /VIEW/],
    [['backfill', 'spans'], /log_entries, measures, thread_spans, async_events/],
    [['backfill', 'measures', '--process', 'all'], /--process/],
    [['backfill', 'measures', '--begin', 'soon'], /--begin/],
    [['copy-store', 'file:///a'], /FROM_URL TO_URL/],
    [['copy-store', 'http://a', 'file:///b'], /file:\/\/\/directory or s3:/],
    [['copy-store', 'file:///a', 'file:///a/'], /same store/],
    [['cost', '--gb-month-price', '-1'], /gb-month-price/],
    [['cost', '--months', 'two'], /--months/],
    [['cost', '--begin', 'soon'], /--begin/],
    [['dead-letters'], /list, show, replay, discard/],
    [['dead-letters', 'list'], /TRACELAKE_NATS_URL/],
    [['dead-letters', 'replay'], /--all/],
    [['dead-letters', 'replay', '1', '--all'], /either/],
    [['dead-letters', 'discard', 'x'], /number/],
    [['dead-letters', 'list', '--stream', 'a.b'], /--stream/],
    [['bench', 'everything'], /"pipeline"/],
    [['bench', 'pipeline', '--channel-depth', '1,0'], /--channel-depth/],
    [['bench', 'pipeline', '--workers', 'all'], /--workers/],
  ];
  for (const [argv, message] of cases) {
    const { status, stderr } = await tracelake(...argv);
    assert.equal(status, 2, argv.join(' '));
    assert.match(stderr, message);
    assert.match(stderr, /--help/);
  }
});

test('up lists every bad variable at once', async () => {
  const stderr = new Collected();
  const status = await runCli(['up'], {
    env: {
      TRACELAKE_INGEST_PORT: '99999',
      TRACELAKE_DEMO: 'perhaps',
      TRACELAKE_NATS_URL: 'http://x',
      TRACELAKE_BIND: '0.0.0.0',
    },
    cwd: '/',
    signal: new AbortController().signal,
    stdin: Readable.from([]),
    stdout: new Collected(),
    stderr,
  });
  assert.equal(status, 2);
  for (const name of ['INGEST_PORT', 'DEMO', 'NATS_URL', 'BIND']) {
    assert.match(stderr.text, new RegExp(`TRACELAKE_${name} `));
  }
});

test('an interrupted command says so and ends with the status of its signal', async () => {
  for (const [name, wanted] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const stderr = new Collected();
    const status = await runCli(['processes'], {
      env: {},
      cwd: '/',
      signal: AbortSignal.abort(new InterruptedError(name)),
      stdin: Readable.from([]),
      stdout: new Collected(),
      stderr,
    });
    assert.equal(status, wanted);
    assert.match(stderr.text, /interrupted/);
  }
});

test('the version names the release and the Node that runs it', async () => {
  assert.match((await tracelake('--version')).stdout, /^tracelake \d+\.\d+\.\d+ \(Node 26\./);
});
