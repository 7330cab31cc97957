import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { claimName, isLeftBehind, ownedNamePrefix, releaseName } from './file-owner.ts';

const PREFIX = 'x-';
const own = ownedNamePrefix(PREFIX);
const nameOf = (pid: number | string) => own.replace(`-${process.pid}-`, `-${pid}-`);

test('a name is left behind when its process is no more, and not while it runs', () => {
  const { pid } = spawnSync(process.execPath, ['--eval', '']);
  assert.equal(isLeftBehind(PREFIX, `${nameOf(pid)}a`), true);
  assert.equal(isLeftBehind(PREFIX, `${nameOf(process.ppid)}a`), false);
});

test('a name with our own process number is ours if we made it, else of a life before', () => {
  const name = `${own}a`;
  assert.equal(isLeftBehind(PREFIX, name), true);
  claimName(name);
  assert.equal(isLeftBehind(PREFIX, name), false);
  releaseName(name);
  assert.equal(isLeftBehind(PREFIX, name), true);
});

test('what another machine made, or no process of ours, stays', () => {
  const dead = 2 ** 22 + 1;
  for (const name of [
    `x-00000000-${dead}-a`,
    nameOf('12x'),
    nameOf(''),
    nameOf('-5'),
    PREFIX,
    'y',
    `y${nameOf(dead)}`,
  ])
    assert.equal(isLeftBehind(PREFIX, name), false, name);
});
