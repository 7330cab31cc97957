import { xxh32 } from './xxh32.ts';

/**
 * Hashes a scope: xxh32 of the name (seed 0), then of the file, the target and the line (4 bytes, little-endian),
 * each seeded with the hash before.
 * Source: rust/analytics/src/scope.rs of the reference.
 */
export function scopeHash(name: string, filename: string, target: string, line: number): number {
  const lineBytes = new Uint8Array(4);
  new DataView(lineBytes.buffer).setUint32(0, line, true);
  const nameHash = xxh32(Buffer.from(name));
  const fileHash = xxh32(Buffer.from(filename), nameHash);
  const targetHash = xxh32(Buffer.from(target), fileHash);
  return xxh32(lineBytes, targetHash);
}
