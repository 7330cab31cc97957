import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaneSet } from './lane-set.ts';

interface Part extends AsyncDisposable {
  readonly name: string;
}

function rig() {
  const events: string[] = [];
  const part = (name: string): Part => {
    events.push(`open ${name}`);
    return {
      name,
      [Symbol.asyncDispose]: async () => {
        events.push(`close ${name}`);
      },
    };
  };
  const lanes = new LaneSet<Part, Part, Part>({
    createReader: (lane) => part(`reader ${lane}`),
    createWriter: (lane) => part(`writer ${lane}`),
  });
  return { events, part, lanes };
}

test('each lane has a reader and a writer of its own, closed after its pipeline', async () => {
  const { events, part, lanes } = rig();
  const parts: string[] = [];
  const opened = [0, 1].map((lane) =>
    lanes.open(lane, ({ reader, writer }) => {
      parts.push(`${reader.name} ${writer.name}`);
      return part(`pipeline ${lane}`);
    }),
  );
  assert.deepEqual(parts, ['reader 0 writer 0', 'reader 1 writer 1']);
  assert.equal(lanes.find(1)?.name, 'pipeline 1');
  events.length = 0;
  await opened[1]?.[Symbol.asyncDispose]();
  await opened[1]?.[Symbol.asyncDispose]();
  assert.deepEqual(events, ['close pipeline 1', 'close writer 1', 'close reader 1']);
  assert.equal(lanes.find(1), undefined);
  assert.equal(lanes.find(0)?.name, 'pipeline 0');
});

test('a lane is open once at a time, and again only when all it had is closed', async () => {
  const { lanes } = rig();
  const drained = Promise.withResolvers<void>();
  const slow = { name: 'slow', [Symbol.asyncDispose]: () => drained.promise };
  const first = lanes.open(3, () => slow);
  assert.throws(() => lanes.open(3, () => slow), /lane 3 is worked once at a time/);
  const closing = first[Symbol.asyncDispose]();
  assert.equal(lanes.find(3), undefined, 'nothing new for a pipeline that closes');
  assert.throws(() => lanes.open(3, () => slow), /once at a time/);
  drained.resolve();
  await closing;
  await using again = lanes.open(3, () => slow);
  assert.equal(again.pipeline, slow);
});

test('a pipeline that does not start leaves nothing open', async () => {
  const { events, part, lanes } = rig();
  assert.throws(
    () =>
      lanes.open(0, () => {
        throw new Error('no');
      }),
    /^Error: no$/,
  );
  await new Promise(setImmediate);
  assert.deepEqual(events.slice(-2), ['close writer 0', 'close reader 0']);
  await using opened = lanes.open(0, () => part('pipeline'));
  assert.equal(opened.pipeline.name, 'pipeline');
});
