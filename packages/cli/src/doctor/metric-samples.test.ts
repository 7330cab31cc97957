import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MetricSamples } from './metric-samples.ts';

const text = `# HELP tracelake_bus_stream_messages Messages in a stream
# TYPE tracelake_bus_stream_messages gauge
tracelake_bus_stream_messages{stream="DEAD",service="materializer"} 3
tracelake_bus_stream_messages{stream="TELE\\"METRY\\n{},"} 1.5e+3 1763690000000
tracelake_lake_blocks 12
up{le="+Inf"} +Inf
not a line
`;

test('samples are found by name, with labels as they were before they were escaped', () => {
  const samples = new MetricSamples(text);
  assert.deepEqual(samples.all('tracelake_bus_stream_messages'), [
    { labels: { stream: 'DEAD', service: 'materializer' }, value: 3 },
    { labels: { stream: 'TELE"METRY\n{},' }, value: 1500 },
  ]);
  assert.equal(samples.find('tracelake_lake_blocks'), 12);
  assert.equal(samples.find('up'), Number.POSITIVE_INFINITY);
});

test('what is not told is not 0', () => {
  const samples = new MetricSamples('<html>no metrics here</html>');
  assert.equal(samples.find('tracelake_lake_blocks'), undefined);
  assert.deepEqual(samples.all('tracelake_lake_blocks'), []);
});
