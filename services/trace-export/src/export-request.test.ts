import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExportRequest } from './export-request.ts';

const PROCESS_ID = '6a08e488-07e0-4ce6-80ec-c38b5dee8521';

const parse = (query: Record<string, unknown>, accept?: string, processId = PROCESS_ID) =>
  parseExportRequest({ processId, query, accept });

test('an export without parameters is of all spans and all time, as plain bytes', () => {
  assert.deepEqual(parse({}), {
    processId: PROCESS_ID,
    spans: 'both',
    beginNs: undefined,
    endNs: undefined,
    compress: 'none',
    format: 'perfetto',
  });
});

test('an id in another form is the same process', () => {
  assert.equal(parse({}, undefined, PROCESS_ID.toUpperCase()).processId, PROCESS_ID);
});

test('times are read to the nanosecond, with any offset', () => {
  const { beginNs, endNs } = parse({
    begin: '2026-11-21T04:00:00.123456789Z',
    end: '2026-11-21T05:00:00.123456789+01:00',
  });
  assert.equal(beginNs, 1_795_233_600_123_456_789n);
  assert.equal(endNs, beginNs);
});

test('each bad parameter is refused by name', () => {
  const cases: [string, () => unknown][] = [
    ['process_id', () => parse({}, undefined, '../../etc/passwd')],
    ['spans', () => parse({ spans: 'all' })],
    ['spans', () => parse({ spans: ['thread', 'async'] })],
    ['begin', () => parse({ begin: 'yesterday' })],
    ['end', () => parse({ end: '2026-11-21T05:00:00 01:00' })],
    ['end', () => parse({ begin: '2026-11-21T04:00:01Z', end: '2026-11-21T04:00:00Z' })],
    ['compress', () => parse({ compress: 'gzip' })],
    ['compress', () => parse({ compress: '' })],
    ['color', () => parse({ color: 'red' })],
  ];
  for (const [parameter, attempt] of cases) {
    assert.throws(attempt, { code: 'trace-export.bad-parameter', details: { parameter } });
  }
});

test('a trace can be asked for compressed, and a value that is none is answered with those there are', () => {
  assert.equal(parse({ compress: 'deflate' }).compress, 'deflate');
  assert.equal(parse({ compress: 'none' }).compress, 'none');
  assert.throws(() => parse({ compress: 'zstd' }), { message: 'compress must be deflate, none' });
});

test('record batches are sent to those who ask for them', () => {
  const arrow = 'application/vnd.apache.arrow.stream';
  assert.equal(parse({}, arrow).format, 'arrow');
  assert.equal(parse({}, `${arrow};q=0.5, */*;q=0.1`).format, 'arrow');
  assert.equal(parse({}, `application/octet-stream, ${arrow};q=0.5`).format, 'perfetto');
  assert.equal(parse({}, `${arrow};q=0`).format, 'perfetto');
  assert.equal(parse({}, '*/*').format, 'perfetto');
});
