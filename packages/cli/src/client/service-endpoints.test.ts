import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CliError } from '../cli-error.ts';
import { parseArguments } from '../command.ts';
import { doctorCommand } from '../commands/doctor.ts';
import { readConnection, readServicePort, resolveServiceUrls } from './service-endpoints.ts';

test('without a port each service is asked on its own', () => {
  assert.deepEqual(resolveServiceUrls('http://lake.example/', {}), {
    ingest: 'http://lake.example:4318',
    'trace-export': 'http://lake.example:4320',
    query: 'http://lake.example:4321',
    materializer: 'http://lake.example:4322',
  });
});

test('a port variable moves its service alone', () => {
  const urls = resolveServiceUrls('http://127.0.0.1', { TRACELAKE_TRACE_EXPORT_PORT: '5320' });
  assert.equal(urls['trace-export'], 'http://127.0.0.1:5320');
  assert.equal(urls.ingest, 'http://127.0.0.1:4318');
});

test('a URL with a port serves every call, also when the port is the default of its scheme', () => {
  for (const base of ['http://lake:80', 'https://lake:443/base/', 'http://[::1]:9000']) {
    const urls = resolveServiceUrls(base, { TRACELAKE_INGEST_PORT: '1' });
    assert.deepEqual(new Set(Object.values(urls)), new Set([base.replace(/\/$/, '')]));
  }
});

test('an IPv6 address without a port is not mistaken for one with a port', () => {
  assert.equal(resolveServiceUrls('http://[::1]', {}).ingest, 'http://[::1]:4318');
});

test('what is no URL or no port is a usage error', () => {
  for (const base of ['lake:4318', 'ftp://lake', '']) {
    assert.throws(
      () => resolveServiceUrls(base, {}),
      (error) => error instanceof CliError && error.code === 'cli.usage',
    );
  }
  for (const port of ['70000', 'x', '-1', '1.5']) {
    assert.throws(() => readServicePort('ingest', { TRACELAKE_INGEST_PORT: port }), CliError);
  }
});

test('a port that Kubernetes injects for a Service of the same name is ignored', () => {
  const env = { TRACELAKE_INGEST_PORT: 'tcp://10.0.0.7:4318' };
  assert.equal(readServicePort('ingest', env), 4318);
});

test('a service may have a URL of its own, which --url overrules', () => {
  const env = { TRACELAKE_URL: 'http://lake', TRACELAKE_QUERY_URL: 'http://query:80/' };
  const read = (...argv: string[]) => readConnection(parseArguments(doctorCommand, argv), env).urls;
  assert.equal(read().query, 'http://query:80');
  assert.equal(read().ingest, 'http://lake:4318');
  assert.equal(read('--url', 'http://other').query, 'http://other:4321');
  const bad = { TRACELAKE_QUERY_URL: 'query:80' };
  assert.throws(
    () => readConnection(parseArguments(doctorCommand, []), bad),
    /TRACELAKE_QUERY_URL/,
  );
});
