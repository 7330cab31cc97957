import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schemaHashOf } from './source-hash.ts';
import type { ViewSet } from './view.ts';
import { createViewRegistry } from './view-registry.ts';

const PROCESS_ID = '6a08e488-07e0-4ce6-80ec-c38b5dee8521';

/** A view as a plug-in would write it: everything about it is here. */
const blockSizes: ViewSet<{ bytes: number }> = {
  name: 'block_sizes',
  schemaVersion: 1,
  columns: [{ name: 'bytes', type: 'i32' }],
  instanceRule: 'stream',
  streamTag: 'log',
  eager: false,
  folds: false,
  timeColumns: { begin: 'time', end: 'time' },
  sortColumns: [],
  moduleUrl: import.meta.url,
  parseBlock: ({ payload }) => ({ bytes: payload.objects.length }),
  transferList: () => [],
  createRunBuilder: () => {
    const sizes: number[] = [];
    return {
      keepsParsed: false,
      add: (_block, { bytes }) => sizes.push(bytes),
      finish: () => ({
        rows: {
          rowCount: sizes.length,
          columns: [{ type: 'i32', values: Int32Array.from(sizes) }],
        },
        ...{ minEventNs: undefined, maxEventNs: undefined, carryOut: undefined, tail: undefined },
        notes: { mismatchedEnds: 0, orphanEnds: 0, droppedSpans: 0, skippedEvents: 0 },
      }),
    };
  },
};

test('the registry lists every view set', () => {
  const names = createViewRegistry()
    .list()
    .map(({ name }) => name);
  assert.deepEqual(names, ['log_entries', 'measures', 'thread_spans', 'async_events']);
});

test('columns are those of the reference, ours last', () => {
  const columnsOf = (name: string) =>
    createViewRegistry()
      .get(name)
      .columns.map((column) => `${column.name}:${column.type}`)
      .join(' ');
  const leading =
    'process_id:string stream_id:string block_id:string insert_time:timestamp exe:string ' +
    'username:string computer:string time:timestamp target:string';
  assert.equal(
    columnsOf('log_entries'),
    `${leading} level:i32 msg:string properties:string process_properties:string`,
  );
  assert.equal(
    columnsOf('measures'),
    `${leading} name:string unit:string value:f64 properties:string process_properties:string`,
  );
  assert.equal(
    columnsOf('thread_spans'),
    'id:i64 parent:i64 depth:u32 hash:u32 begin:timestamp end:timestamp duration:i64 name:string ' +
      'target:string filename:string line:u32 open:bool',
  );
  assert.equal(
    columnsOf('async_events'),
    'stream_id:string block_id:string time:timestamp event_type:string span_id:i64 ' +
      'parent_span_id:i64 depth:u32 hash:u32 name:string filename:string target:string line:u32 ' +
      'thread_id:string',
  );
});

test('each view can be found by a worker through its module', async () => {
  for (const view of createViewRegistry().list()) {
    const module: { view?: ViewSet } = await import(view.moduleUrl);
    assert.equal(module.view, view);
  }
});

test('a view that is added at run time is there, once', () => {
  const registry = createViewRegistry();
  registry.register(blockSizes);
  assert.equal(registry.get('block_sizes'), blockSizes);
  assert.equal(registry.checkInstance('block_sizes', PROCESS_ID), PROCESS_ID);
  assert.throws(() => registry.register(blockSizes), { code: 'lakehouse.duplicate-view' });
  assert.throws(() => createViewRegistry().get('block_sizes'), { code: 'lakehouse.unknown-view' });
});

test('an unknown view is refused with the names there are', () => {
  assert.throws(() => createViewRegistry().get('net_spans'), {
    code: 'lakehouse.unknown-view',
    message: /no view "net_spans".*log_entries, measures, thread_spans, async_events/,
  });
});

test('async_events of global is refused by the rule: its instances are processes', () => {
  assert.throws(() => createViewRegistry().checkInstance('async_events', 'global'), {
    code: 'lakehouse.bad-instance',
    message: /"async_events" is the id of a process \(a UUID\).*no instance "global"/,
    details: { view: 'async_events', instance: 'global', rule: 'process' },
  });
});

test('anything but a UUID is refused, and a UUID in any form is one instance', () => {
  const registry = createViewRegistry();
  const bad = ['', 'x', '../../etc/passwd', `${PROCESS_ID}0`, 'GLOBAL', '*', "' OR 1=1", '\u0000'];
  for (const view of registry.list())
    for (const instance of bad)
      assert.throws(() => registry.checkInstance(view.name, instance), {
        code: 'lakehouse.bad-instance',
        message: new RegExp(`id of a ${view.instanceRule} \\(a UUID\\)`),
      });
  for (const form of [PROCESS_ID, PROCESS_ID.toUpperCase(), PROCESS_ID.replaceAll('-', '')])
    assert.equal(registry.checkInstance('async_events', form), PROCESS_ID);
  assert.throws(
    () => registry.checkInstance('thread_spans', 'x'.repeat(10_000)),
    (error) => {
      return error instanceof Error && error.message.length < 300;
    },
  );
});

test('the schema hash changes with version, name, type or order of columns, and with nothing else', () => {
  const hash = schemaHashOf(blockSizes);
  const columns = [...blockSizes.columns, { name: 'more', type: 'i32' }] as const;
  const changed: ViewSet<{ bytes: number }>[] = [
    { ...blockSizes, schemaVersion: 2 },
    { ...blockSizes, columns },
    { ...blockSizes, columns: columns.toReversed() },
    { ...blockSizes, columns: [{ name: 'bytes', type: 'i64' }] },
    { ...blockSizes, sortColumns: ['bytes'] },
    { ...blockSizes, name: 'other' },
  ];
  const hashes = new Set([hash, ...changed.map(schemaHashOf)]);
  assert.equal(hashes.size, changed.length + 1);
  assert.equal(schemaHashOf({ ...blockSizes, eager: true, moduleUrl: 'file:///elsewhere' }), hash);
});

test('a version of the release before is found by its schema, and one that is not known is named', () => {
  const next: ViewSet<{ bytes: number }> = { ...blockSizes, schemaVersion: 2 };
  const registry = createViewRegistry([next], [blockSizes]);
  assert.equal(registry.get(blockSizes.name), next);
  assert.equal(registry.getVersion(blockSizes.name, schemaHashOf(blockSizes)), blockSizes);
  assert.equal(registry.getVersion(blockSizes.name, schemaHashOf(next)), next);
  assert.deepEqual(registry.list(), [next]);
  assert.throws(() => registry.getVersion(blockSizes.name, 'f'.repeat(64)), {
    code: 'lakehouse.unknown-schema',
    retryable: true,
    message: /schema versions 2, 1 .*replace the materializers before/,
  });
});
