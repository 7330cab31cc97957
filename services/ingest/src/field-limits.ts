/**
 * How long the texts and lists of processes and streams may be: far beyond what clients send, and little
 * enough that no row is a burden to the database or to those who read it.
 */
import type { ProcessInfo, StreamInfo, UserDefinedType } from '@tracelake/domain';
import { IngestError } from './ingest-error.ts';

export const fieldLimits = {
  textBytesMax: 16 * 1024,
  propertyCountMax: 1024,
  propertyKeyBytesMax: 1024,
  propertyValueBytesMax: 256 * 1024,
  tagCountMax: 64,
  tagBytesMax: 256,
  typeCountMax: 4096,
  memberCountMax: 4096,
  typeNameBytesMax: 4096,
} as const;

/** Throws `ingest.field-too-long`, naming the field and its limit. */
export function checkProcessFields(process: ProcessInfo): void {
  const texts = {
    exe: process.exe,
    username: process.username,
    realname: process.realname,
    computer: process.computer,
    distro: process.distro,
    cpu_brand: process.cpuBrand,
  };
  for (const [field, text] of Object.entries(texts)) {
    checkText(field, text, fieldLimits.textBytesMax);
  }
  checkProperties(process.properties);
}

/** Throws `ingest.field-too-long`, naming the field and its limit. */
export function checkStreamFields(stream: StreamInfo): void {
  checkCount('tags', stream.tags.length, fieldLimits.tagCountMax);
  for (const tag of stream.tags) checkText('tags', tag, fieldLimits.tagBytesMax);
  checkProperties(stream.properties);
  checkTypes('dependencies_metadata', stream.dependenciesMetadata);
  checkTypes('objects_metadata', stream.objectsMetadata);
}

function checkTypes(field: string, types: readonly UserDefinedType[]): void {
  checkCount(field, types.length, fieldLimits.typeCountMax);
  for (const type of types) {
    checkText(field, type.name, fieldLimits.typeNameBytesMax);
    checkCount(`${field}.members`, type.members.length, fieldLimits.memberCountMax);
    for (const member of type.members) {
      checkText(`${field}.members`, member.name, fieldLimits.typeNameBytesMax);
      checkText(`${field}.members`, member.typeName, fieldLimits.typeNameBytesMax);
    }
  }
}

function checkProperties(properties: Readonly<Record<string, string>>): void {
  const entries = Object.entries(properties);
  checkCount('properties', entries.length, fieldLimits.propertyCountMax);
  for (const [key, value] of entries) {
    checkText('properties', key, fieldLimits.propertyKeyBytesMax);
    checkText(`properties.${key.slice(0, 64)}`, value, fieldLimits.propertyValueBytesMax);
  }
}

function checkText(field: string, text: string, limit: number): void {
  // UTF-8 never has fewer bytes than UTF-16 has units, so most texts need no measuring.
  if (text.length * 3 <= limit) return;
  const byteCount = Buffer.byteLength(text);
  if (byteCount > limit) failTooLong(field, `a text of ${byteCount} bytes`, limit);
}

function checkCount(field: string, count: number, limit: number): void {
  if (count > limit) failTooLong(field, `${count} entries`, limit);
}

function failTooLong(field: string, what: string, limit: number): never {
  throw new IngestError(
    'ingest.field-too-long',
    `${field} holds ${what}, more than the ${limit} that are kept; send less`,
    { details: { field, limit } },
  );
}
