/** Strings inside records: `codec: u8, size in bytes: u32, bytes`, and the older forms without a header. */
import { failRecord, type TransitBuffer } from './record-framing.ts';

const CODEC_ANSI = 0;
const CODEC_WIDE = 1;
const CODEC_UTF8 = 2;
const ENCODED_STRING_HEADER_BYTES = 5;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws `transit.bad-record` unless an encoded string lies within `[start, end)`. */
export function checkEncodedString(buffer: TransitBuffer, start: number, end: number): void {
  if (start + ENCODED_STRING_HEADER_BYTES > end) failRecord(buffer, start, 'a string is cut short');
  const codec = buffer.view.getUint8(start);
  const byteCount = buffer.view.getUint32(start + 1, true);
  if (byteCount > end - start - ENCODED_STRING_HEADER_BYTES)
    failRecord(buffer, start, `a string of ${byteCount} bytes is cut short`);
  if (codec > CODEC_UTF8) failRecord(buffer, start, `string codec ${codec} is not known`);
  if (codec === CODEC_WIDE && byteCount % 2 !== 0)
    failRecord(buffer, start, `a wide string of ${byteCount} bytes is cut inside a character`);
}

/** Decodes an encoded string that was checked; what is not valid text becomes U+FFFD. */
export function readCheckedString(buffer: TransitBuffer, start: number): string {
  const codec = buffer.view.getUint8(start);
  const textStart = start + ENCODED_STRING_HEADER_BYTES;
  const textEnd = textStart + buffer.view.getUint32(start + 1, true);
  if (codec === CODEC_WIDE)
    return buffer.bytes.toString('utf16le', textStart, textEnd).toWellFormed();
  // Ansi too: the reference reads both as UTF-8.
  if (codec === CODEC_ANSI || codec === CODEC_UTF8)
    return buffer.bytes.toString('utf8', textStart, textEnd);
  return failRecord(buffer, start, `string codec ${codec} is not known`);
}

/** Where the text of an encoded string that was checked begins, or -1 when it is not meant as UTF-8. */
export function encodedUtf8Start(buffer: TransitBuffer, start: number): number {
  const isWide = buffer.view.getUint8(start) === CODEC_WIDE;
  return isWide ? -1 : start + ENCODED_STRING_HEADER_BYTES;
}

/** Where the text of an encoded string that was checked ends. */
export function encodedTextEnd(buffer: TransitBuffer, start: number): number {
  return start + ENCODED_STRING_HEADER_BYTES + buffer.view.getUint32(start + 1, true);
}

/** Decodes text without a header, which must be valid UTF-8. */
export function readRawString(buffer: TransitBuffer, start: number, end: number): string {
  try {
    return strictUtf8.decode(buffer.bytes.subarray(start, end));
  } catch {
    return failRecord(buffer, start, 'text is not valid utf-8');
  }
}
