/** Times, ticks, frequencies and counts at the ends of what their fields hold: taken, built and exported. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeTrace, RecordingBuilder } from '@tracelake/test-kit';
import {
  decodeBlockEnvelope,
  decodeProcessInfo,
  encodeBlockEnvelope,
  encodeProcessInfo,
} from '@tracelake/transit';
import { exportTrace, replay, type TelemetryRequest } from './harness/client.ts';
import { LakeReader } from './harness/lake-rows.ts';
import { startProcessStack } from './harness/process-stack.ts';

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
const scope = { name: 'work', target: 'app', file: 'main.rs', line: 1 };

const EXTREMES: readonly { readonly process?: object; readonly block?: object }[] = [
  { process: { startTicks: INT64_MAX } },
  { process: { startTicks: INT64_MIN } },
  { process: { startTicks: INT64_MIN, tscFrequencyHz: 1n } },
  { process: { startTicks: INT64_MAX, tscFrequencyHz: 1n } },
  { process: { tscFrequencyHz: INT64_MAX } },
  { process: { tscFrequencyHz: -1n } },
  { process: { startNs: -(10n ** 15n) } },
  { process: { startNs: INT64_MAX - 807n } },
  { process: { startNs: INT64_MIN + 808n } },
  { block: { beginTicks: INT64_MIN, endTicks: INT64_MAX } },
  { block: { beginTicks: INT64_MAX, endTicks: INT64_MIN } },
  { block: { beginTicks: INT64_MIN, endTicks: INT64_MAX }, process: { tscFrequencyHz: 0n } },
  { block: { beginNs: INT64_MAX - 807n, endNs: INT64_MIN + 808n } },
  {
    block: { beginNs: INT64_MIN + 808n, endNs: INT64_MAX - 807n },
    process: { tscFrequencyHz: 0n },
  },
  { block: { objectOffset: INT64_MAX } },
  { block: { objectCount: 2 ** 31 - 1 } },
  { block: { objectCount: 0 } },
];

test('times, ticks and counts at the ends of their range are taken, built and exported', async () => {
  await using stack = await startProcessStack();
  await using lake = await LakeReader.open(stack);
  for (const [index, extreme] of EXTREMES.entries()) {
    const recording = new RecordingBuilder({ seed: 300 + index });
    const thread = recording.addThread({ name: 'main', id: '1' });
    thread.begin(scope, 100);
    thread.asyncBegin({ scope, spanId: 1, ticks: 110 });
    thread.asyncEnd({ scope, spanId: 1, ticks: 120 });
    thread.end(scope, 200);
    recording.log({ ticks: 5, message: 'hello' });
    recording.metric({ ticks: 6, name: 'm', unit: 'ticks', value: 1n });
    await replay(
      stack.ingest.url,
      recording.requests().map((request) => withExtreme(request, extreme)),
    );
    const what = `extreme ${index}`;
    const { bytes, headers } = await exportTrace(stack.traceExport.url, recording.processId);
    assert.equal(headers.get('tracelake-blocks-rejected'), '0', what);
    const trace = decodeTrace(bytes);
    assert.deepEqual(trace.problems, [], what);
    assert.deepEqual(
      trace.slices.map(({ name }) => name),
      ['work', 'work'],
      what,
    );
    for (const view of ['log_entries', 'measures']) {
      assert.equal((await lake.rows(view, recording.processId)).length, 1, `${what}, ${view}`);
    }
  }
});

function withExtreme(
  { path, body }: TelemetryRequest,
  extreme: { readonly process?: object; readonly block?: object },
): TelemetryRequest {
  if (path.endsWith('process'))
    return {
      path,
      body: encodeProcessInfo({ ...decodeProcessInfo(body), ...extreme.process }, 'rust'),
    };
  if (path.endsWith('block'))
    return {
      path,
      body: encodeBlockEnvelope({ ...decodeBlockEnvelope(body), ...extreme.block }, 'rust'),
    };
  return { path, body };
}
