/** Identifiers. All three are UUIDs in hyphenated lower case once they carry their brand. */

declare const brand: unique symbol;

export type ProcessId = string & { readonly [brand]: 'ProcessId' };
export type StreamId = string & { readonly [brand]: 'StreamId' };
export type BlockId = string & { readonly [brand]: 'BlockId' };

const SIMPLE_UUID = /^[0-9a-f]{32}$/;
const HYPHENATED_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Reads a UUID in any of the forms clients use (hyphenated, simple, braced, `urn:uuid:`; any case) and
 * returns it hyphenated in lower case, or undefined for anything else.
 */
export function parseUuid(text: string): string | undefined {
  if (text.length > 45) return undefined;
  let body = text.toLowerCase();
  if (body.startsWith('urn:uuid:')) body = body.slice('urn:uuid:'.length);
  else if (body.startsWith('{') && body.endsWith('}')) body = body.slice(1, -1);
  if (HYPHENATED_UUID.test(body)) return body;
  if (!SIMPLE_UUID.test(body)) return undefined;
  return [
    body.slice(0, 8),
    body.slice(8, 12),
    body.slice(12, 16),
    body.slice(16, 20),
    body.slice(20),
  ].join('-');
}

export function parseProcessId(text: string): ProcessId | undefined {
  return parseUuid(text) as ProcessId | undefined;
}

export function parseStreamId(text: string): StreamId | undefined {
  return parseUuid(text) as StreamId | undefined;
}

export function parseBlockId(text: string): BlockId | undefined {
  return parseUuid(text) as BlockId | undefined;
}
