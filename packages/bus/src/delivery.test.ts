import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDeliveryInfo } from './delivery.ts';

const EXPECTED = {
  stream: 'TELEMETRY',
  consumer: 'logs-3',
  deliveryCount: 2,
  streamSequence: 17,
  storedAtNs: 1_763_690_000_009_592_065n,
};

test('a delivery is described by its reply subject, in the short form and the long one', () => {
  const tail = 'TELEMETRY.logs-3.2.17.9.1763690000009592065.4';
  assert.deepEqual(parseDeliveryInfo(`$JS.ACK.${tail}`), EXPECTED);
  assert.deepEqual(parseDeliveryInfo(`$JS.ACK._.hash.${tail}`), EXPECTED);
  assert.deepEqual(parseDeliveryInfo(`$JS.ACK.domain.hash.${tail}.random`), EXPECTED);
});

test('any other subject is no delivery', () => {
  for (const text of [
    '',
    '_INBOX.x',
    '$JS.ACK.a.b',
    '$JS.ACK.a.b.1.2.3.x.5',
    '$JS.API.a.b.c.d.e.f.g',
  ]) {
    assert.equal(parseDeliveryInfo(text), undefined, text);
  }
});
