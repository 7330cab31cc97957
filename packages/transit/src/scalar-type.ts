/** The only scalar member types the format knows, under both clients' names. */
export type ScalarType = 'u8' | 'u32' | 'u64' | 'i64' | 'f64';

const SCALAR_TYPES: ReadonlyMap<string, { readonly type: ScalarType; readonly size: number }> =
  new Map([
    ['u8', { type: 'u8', size: 1 }],
    ['uint8', { type: 'u8', size: 1 }],
    ['u32', { type: 'u32', size: 4 }],
    ['uint32', { type: 'u32', size: 4 }],
    ['u64', { type: 'u64', size: 8 }],
    ['uint64', { type: 'u64', size: 8 }],
    ['i64', { type: 'i64', size: 8 }],
    ['int64', { type: 'i64', size: 8 }],
    ['f64', { type: 'f64', size: 8 }],
  ]);

export function isScalarTypeName(name: string): boolean {
  return SCALAR_TYPES.has(name);
}

export function findScalarType(
  name: string,
): { readonly type: ScalarType; readonly size: number } | undefined {
  return SCALAR_TYPES.get(name);
}
