import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { Secret } from './secret.ts';

test('a secret never prints itself', () => {
  const secret = new Secret('hunter2');
  const printed = `${secret} ${JSON.stringify({ secret })} ${inspect({ nested: { secret } })}`;
  assert.doesNotMatch(printed, /hunter2/);
  assert.match(printed, /\[redacted\]/);
  assert.equal(secret.reveal(), 'hunter2');
});
