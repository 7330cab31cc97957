import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseArguments } from '../command.ts';
import { upCommand } from '../commands/up.ts';
import { readStackSettings, serviceEnvironment } from './stack-settings.ts';

const urls = { database: 'postgres://own', nats: 'nats://own' };

function environmentOf(argv: readonly string[], environment: Record<string, string> = {}) {
  const settings = readStackSettings(parseArguments(upCommand, argv), environment, '/');
  const env = serviceEnvironment(settings, urls, environment);
  const { TRACELAKE_WORKERS, TRACELAKE_CPU_TOKENS, TRACELAKE_CHANNEL_DEPTH } = env;
  return [TRACELAKE_WORKERS, TRACELAKE_CPU_TOKENS, TRACELAKE_CHANNEL_DEPTH];
}

test('workers come with CPU tokens to work on, and the channel depth reaches the services', () => {
  assert.deepEqual(environmentOf(['--workers', '3', '--channel-depth', '2']), ['3', '3', '2']);
  assert.deepEqual(environmentOf([]), [undefined, undefined, undefined]);
});

test('CPU tokens that the operator sets are kept', () => {
  const environment = { TRACELAKE_CPU_TOKENS: '1', TRACELAKE_CHANNEL_DEPTH: '7' };
  assert.deepEqual(environmentOf(['--workers', '3'], environment), ['3', '1', '7']);
});
