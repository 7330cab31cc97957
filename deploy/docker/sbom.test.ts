/**
 * Scenario: the repository's own lockfile, and small ones that are wrong.
 * Guarantees: what an image installs is listed, with its hash, and what is only for development is not.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { createSbom } from './sbom.ts';

const lockfile = await readFile(path.join(import.meta.dirname, '../../pnpm-lock.yaml'), 'utf8');
const about = { name: 'tracelake-ingest', version: '1.2.3', project: 'services/ingest' };

test('lists what a service reaches, directly and through packages of the workspace', () => {
  const { components } = createSbom({ lockfile, ...about });
  const names = new Set(components.map(({ name }) => name));
  for (const name of ['fastify', 'pg', 'prom-client', '@nats-io/transport-node']) {
    assert.ok(names.has(name), name);
  }
  for (const name of ['typescript', '@biomejs/biome', 'testcontainers', 'knip']) {
    assert.ok(!names.has(name), `${name} is for development`);
  }
  assert.ok(components.every(({ hashes }) => /^[0-9a-f]{128}$/.test(hashes?.[0]?.content ?? '')));
  assert.ok(components.every(({ purl }) => purl?.startsWith('pkg:npm/')));
});

test('every dependency leads to a component', () => {
  const { components, dependencies, metadata } = createSbom({ lockfile, ...about });
  const refs = new Set(components.map((component) => component['bom-ref']));
  assert.equal(refs.size, components.length);
  for (const { ref, dependsOn } of dependencies) {
    assert.ok(refs.has(ref) || ref === metadata.component['bom-ref'], ref);
    for (const needed of dependsOn) assert.ok(refs.has(needed), needed);
  }
});

test('the same lockfile gives the same bytes, another version another serial number', () => {
  const first = createSbom({ lockfile, ...about });
  assert.equal(JSON.stringify(first), JSON.stringify(createSbom({ lockfile, ...about })));
  const other = createSbom({ lockfile, ...about, version: '1.2.4' });
  assert.notEqual(other.serialNumber, first.serialNumber);
  assert.match(first.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab]/);
});

test('a project that the lockfile does not know is an error', () => {
  assert.throws(() => createSbom({ lockfile, ...about, project: 'services/x' }), /no project/);
});

test('a package that the lockfile names and does not describe is an error', () => {
  const broken = lockfile.replace(/^ {2}fastify@[^:]+:$/gm, '  gone@1.0.0:');
  assert.notEqual(broken, lockfile);
  assert.throws(() => createSbom({ lockfile: broken, ...about }), /does not describe fastify/);
});
