import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ApiKeyRing } from './api-keys.ts';
import { readCommonConfig } from './config.ts';
import { ConfigError } from './config-error.ts';
import { EnvReader } from './env-reader.ts';

const good = {
  TRACELAKE_DATABASE_URL: 'postgres://lake:hunter2@127.0.0.1/lake',
  TRACELAKE_NATS_URL: 'nats://127.0.0.1:4222',
  TRACELAKE_OBJECT_STORE_URL: 'file:///tmp/objects',
};

test('defaults are those of the design', () => {
  const env = new EnvReader(good);
  const config = readCommonConfig(env);
  assert.deepEqual(env.finish(), []);
  assert.equal(config.bind, '127.0.0.1');
  assert.equal(config.lanes, 8);
  assert.equal(config.shutdownGraceS, 25);
  assert.equal(config.databaseUrl.reveal(), good.TRACELAKE_DATABASE_URL);
  assert.doesNotMatch(JSON.stringify(config), /hunter2/);
});

test('every bad variable is listed at once, and no secret is repeated', () => {
  const env = new EnvReader({
    TRACELAKE_DATABASE_URL: 'lake:hunter2@host/db',
    TRACELAKE_OBJECT_STORE_URL: 'ftp://store',
    TRACELAKE_LANES: 'eight',
    TRACELAKE_SHUTDOWN_GRACE_S: '-1',
    TRACELAKE_ALLOW_ANONYMOUS: 'perhaps',
    TRACELAKE_API_KEYS: 'ci:hunter2,hunter2secret:x y',
  });
  readCommonConfig(env);
  const error = captureConfigError(env);
  assert.deepEqual(error.issues.map((issue) => issue.variable).sort(), [
    'TRACELAKE_ALLOW_ANONYMOUS',
    'TRACELAKE_API_KEYS',
    'TRACELAKE_DATABASE_URL',
    'TRACELAKE_LANES',
    'TRACELAKE_NATS_URL',
    'TRACELAKE_OBJECT_STORE_URL',
    'TRACELAKE_SHUTDOWN_GRACE_S',
  ]);
  assert.doesNotMatch(error.message, /hunter2@|x y/);
});

test('an empty value counts as unset', () => {
  const env = new EnvReader({ A: '', B: '  ' });
  assert.equal(env.string('A', { default: 'a' }), 'a');
  assert.equal(env.optionalString('B'), undefined);
});

test('a NATS cluster is several URLs, each of which must be one', () => {
  const urlsOf = (text: string) => {
    const env = new EnvReader({ ...good, TRACELAKE_NATS_URL: text });
    const { natsUrl } = readCommonConfig(env);
    env.finish();
    return natsUrl.reveal();
  };
  assert.equal(urlsOf('nats://a:4222, nats://b:4222'), 'nats://a:4222,nats://b:4222');
  for (const text of ['nats://a:4222,b:4222', 'nats://a:4222,', 'nats://a:4222,http://b']) {
    assert.throws(() => urlsOf(text), /TRACELAKE_NATS_URL: must be URLs/);
  }
});

test('numbers are refused when out of range, fractional where whole, or in other notations', () => {
  for (const text of ['0', '11', '1.5', '1e1', '0x5', '+5', 'five']) {
    const env = new EnvReader({ N: text });
    env.integer('N', { default: 5, min: 1, max: 10 });
    assert.throws(() => env.finish(), ConfigError, text);
  }
  const env = new EnvReader({ N: '2.5' });
  assert.equal(env.decimal('N', { default: 5, min: 1, max: 10 }), 2.5);
  env.finish();
});

test("Kubernetes' service links are ignored, the port's own name with a warning", () => {
  const env = new EnvReader({
    ...good,
    TRACELAKE_INGEST_PORT: 'tcp://10.0.0.7:4318',
    TRACELAKE_INGEST_SERVICE_HOST: '10.0.0.7',
    TRACELAKE_INGEST_SERVICE_PORT: '4318',
    TRACELAKE_INGEST_PORT_4318_TCP: 'tcp://10.0.0.7:4318',
    TRACELAKE_INGEST_PORT_4318_TCP_ADDR: '10.0.0.7',
  });
  readCommonConfig(env);
  assert.equal(env.port('TRACELAKE_INGEST_PORT', { default: 4318 }), 4318);
  assert.deepEqual(
    env.finish().map((warning) => warning.variable),
    ['TRACELAKE_INGEST_PORT'],
  );
});

test('an unknown TRACELAKE_ variable is a warning, one of another service is not', () => {
  const env = new EnvReader({
    ...good,
    TRACELAKE_LANE: '4',
    TRACELAKE_CPU_TOKENS: '2',
    LANES: '3',
  });
  readCommonConfig(env);
  assert.deepEqual(
    env.finish().map((warning) => warning.variable),
    ['TRACELAKE_LANE'],
  );
});

test('binding beyond loopback needs keys or an explicit permission', () => {
  const read = (more: Record<string, string>) => {
    const env = new EnvReader({ ...good, ...more });
    readCommonConfig(env);
    env.finish();
  };
  for (const bind of ['0.0.0.0', '::', '10.1.2.3', 'example.internal', '128.0.0.1']) {
    assert.throws(() => read({ TRACELAKE_BIND: bind }), ConfigError, bind);
  }
  for (const bind of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) read({ TRACELAKE_BIND: bind });
  read({ TRACELAKE_BIND: '0.0.0.0', TRACELAKE_ALLOW_ANONYMOUS: 'true' });
  read({ TRACELAKE_BIND: '0.0.0.0', TRACELAKE_API_KEYS: 'ci:abc' });
});

test('API keys come as pairs or from a file and are found by their holder', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tracelake-keys-'));
  try {
    const file = join(directory, 'keys');
    writeFileSync(file, '# who may send\nci:abc:with:colons\n\ngame-7:Zyx=, bot:q\n');
    for (const value of [file, `file://${file}`, 'ci:abc:with:colons,game-7:Zyx=, bot:q']) {
      const env = new EnvReader({ ...good, TRACELAKE_API_KEYS: value });
      const ring = new ApiKeyRing(readCommonConfig(env).apiKeys);
      env.finish();
      assert.equal(ring.findHolder('abc:with:colons'), 'ci');
      assert.equal(ring.findHolderOfHeader('Bearer Zyx='), 'game-7');
      assert.equal(ring.findHolderOfHeader('bearer q'), 'bot');
      assert.equal(ring.findHolder('abc'), undefined);
      assert.equal(ring.findHolderOfHeader('Basic q'), undefined);
      assert.equal(ring.findHolderOfHeader('Bearer '), undefined);
      assert.equal(ring.findHolderOfHeader(undefined), undefined);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a key file that is missing or empty stops the start', () => {
  for (const value of ['/nonexistent/keys', './nonexistent', 'justakey', '/dev/null']) {
    const env = new EnvReader({ ...good, TRACELAKE_API_KEYS: value });
    readCommonConfig(env);
    assert.deepEqual(
      [...new Set(captureConfigError(env).issues.map((i) => i.variable))],
      ['TRACELAKE_API_KEYS'],
    );
  }
});

function captureConfigError(env: EnvReader): ConfigError {
  try {
    env.finish();
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error;
  }
  throw new Error('no variable was reported');
}
