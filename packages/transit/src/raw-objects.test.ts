import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureExists } from '@tracelake/domain';
import { decodeLimits, fixtureCases, loadRecordedProcess } from '@tracelake/test-kit';
import { decodeAsyncSpanBlock, decodeThreadSpanBlock, listRawObjects } from './index.ts';

const cases = fixtureCases().map((name) => ({ name, recorded: loadRecordedProcess(name) }));

function inputsOf({ blocks, streams, payloads }: (typeof cases)[number]['recorded']) {
  return blocks.map((block) => {
    const stream = ensureExists(streams.get(block.streamId), 'stream');
    const payload = ensureExists(payloads.get(block.blockId), 'payload');
    const { dependenciesMetadata, objectsMetadata } = stream;
    const { objectOffset } = block;
    const limits = decodeLimits;
    const input = { dependenciesMetadata, objectsMetadata, payload, objectOffset, limits };
    return { input, tags: stream.tags };
  });
}

for (const { name, recorded } of cases) {
  test(`every object of the recording ${name} is listed once, as JSON that names its type`, () => {
    for (const { input, tags } of inputsOf(recorded)) {
      const objects = [...listRawObjects(input)];
      assert.deepEqual(
        objects.map(({ index }) => index),
        objects.keys().toArray(),
      );
      for (const { typeName, json } of objects) assert.equal(JSON.parse(json).__type, typeName);
      if (!tags.includes('cpu')) continue;
      const spanEvents = objects.filter(({ typeName }) => /Span/.test(typeName)).length;
      const decoded = decodeThreadSpanBlock(input).count + decodeAsyncSpanBlock(input).count;
      assert.equal(spanEvents, decoded);
    }
  });
}

test('what an event points at is shown in its place', () => {
  const { recorded } = ensureExists(
    cases.find(({ name }) => name === 'spans'),
    'recording',
  );
  const [first] = inputsOf(recorded).filter(({ tags }) => tags.includes('cpu'));
  const [object] = listRawObjects(ensureExists(first, 'block').input);
  const value = JSON.parse(ensureExists(object, 'object').json);
  assert.match(JSON.stringify(value), /"name":"/);
});
