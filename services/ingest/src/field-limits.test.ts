import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  nanoseconds,
  type ProcessInfo,
  parseProcessId,
  parseStreamId,
  type StreamInfo,
  ticks,
} from '@tracelake/domain';
import { checkProcessFields, checkStreamFields, fieldLimits } from './field-limits.ts';

const id = '5f2522f8-5a8d-4eb7-bcf8-c41318e9685e';

function makeProcess(overrides: Partial<ProcessInfo>): ProcessInfo {
  const processId = parseProcessId(id);
  assert.ok(processId);
  return {
    processId,
    exe: '/usr/bin/game',
    username: 'u',
    realname: 'r',
    computer: 'c',
    distro: 'd',
    cpuBrand: 'b',
    tscFrequencyHz: 0n,
    startNs: nanoseconds(0n),
    startTicks: ticks(0n),
    parentProcessId: undefined,
    properties: {},
    ...overrides,
  };
}

function makeStream(overrides: Partial<StreamInfo>): StreamInfo {
  const processId = parseProcessId(id);
  const streamId = parseStreamId(id);
  assert.ok(processId && streamId);
  return {
    processId,
    streamId,
    dependenciesMetadata: [],
    objectsMetadata: [],
    tags: ['log'],
    properties: {},
    ...overrides,
  };
}

const tooLong = (field: string, limit: number) => ({
  code: 'ingest.field-too-long',
  details: { field, limit },
});

test('fields at their limit pass, one byte more is refused with the name of the field', () => {
  const { textBytesMax, propertyValueBytesMax } = fieldLimits;
  checkProcessFields(makeProcess({ exe: 'x'.repeat(textBytesMax) }));
  checkProcessFields(makeProcess({ exe: 'é'.repeat(textBytesMax / 2) }));
  assert.throws(
    () => checkProcessFields(makeProcess({ cpuBrand: `é${'x'.repeat(textBytesMax - 1)}` })),
    tooLong('cpu_brand', textBytesMax),
  );
  checkProcessFields(makeProcess({ properties: { line: 'x'.repeat(propertyValueBytesMax) } }));
  assert.throws(
    () =>
      checkProcessFields(
        makeProcess({ properties: { line: 'x'.repeat(propertyValueBytesMax + 1) } }),
      ),
    tooLong('properties.line', propertyValueBytesMax),
  );
});

test('tags and type layouts are bounded too', () => {
  const { tagBytesMax, tagCountMax, typeNameBytesMax, typeCountMax } = fieldLimits;
  checkStreamFields(makeStream({ tags: new Array<string>(tagCountMax).fill('t') }));
  assert.throws(
    () => checkStreamFields(makeStream({ tags: new Array<string>(tagCountMax + 1).fill('t') })),
    tooLong('tags', tagCountMax),
  );
  assert.throws(
    () => checkStreamFields(makeStream({ tags: ['x'.repeat(tagBytesMax + 1)] })),
    tooLong('tags', tagBytesMax),
  );
  const type = { name: 'T', size: 0, isReference: false, members: [] };
  assert.throws(
    () =>
      checkStreamFields(makeStream({ objectsMetadata: new Array(typeCountMax + 1).fill(type) })),
    tooLong('objects_metadata', typeCountMax),
  );
  const longName = { ...type, name: 'x'.repeat(typeNameBytesMax + 1) };
  assert.throws(
    () => checkStreamFields(makeStream({ dependenciesMetadata: [longName] })),
    tooLong('dependencies_metadata', typeNameBytesMax),
  );
});
