/**
 * Layouts of record types, compiled once per stream metadata: where each member lies in an instance once nested
 * types are written out, and which 8-byte references an instance holds. A type that cannot be decoded keeps the
 * reason and fails only when a record of it appears, so that a stream may declare types nobody sends.
 */
import type { UserDefinedType, UserDefinedTypeMember } from '@tracelake/domain';
import { findScalarType, type ScalarType } from './scalar-type.ts';
import { checkTypeNesting, nestedTypeOf, typesByName } from './type-nesting.ts';

export interface MemberLayout {
  /** `reference`: 8 bytes that name a dependency; `record`: a nested instance, which no event asks for. */
  readonly kind: ScalarType | 'reference' | 'record';
  /** Bytes from the start of the instance. */
  readonly offset: number;
}

export interface TypeLayout {
  readonly name: string;
  /** Bytes of an instance; 0 when each instance carries its own length. */
  readonly size: number;
  readonly isReference: boolean;
  readonly members: ReadonlyMap<string, MemberLayout>;
  /** Offsets of every reference in an instance, those of nested instances included. */
  readonly referenceOffsets: readonly number[];
  /** Why instances cannot be decoded member by member, if they cannot. */
  readonly problem: string | undefined;
}

export interface BufferLayout {
  /** By type index; a record names its type in one byte, so later ones are out of reach. */
  readonly types: readonly TypeLayout[];
  readonly byName: ReadonlyMap<string, TypeLayout>;
  /** By type index: the instance size, 0 for length-prefixed types, -1 past the last type. */
  readonly sizes: Int32Array;
}

const TYPE_INDEXES = 256;
const INT32_MAX = 0x7fff_ffff;

// Entries go with the metadata they were compiled from.
const compiledLayouts = new WeakMap<readonly UserDefinedType[], BufferLayout>();

/**
 * Returns the layout of a buffer, compiling it the first time this metadata array is seen.
 *
 * Errors: `transit.bad-metadata` when types contain themselves.
 */
export function bufferLayoutOf(types: readonly UserDefinedType[]): BufferLayout {
  const known = compiledLayouts.get(types);
  if (known !== undefined) return known;
  checkTypeNesting(types, '');
  const byName = typesByName(types);
  const layouts = types.map((type) => compileType(type, byName));
  const sizes = new Int32Array(TYPE_INDEXES).fill(-1);
  for (const [index, type] of types.slice(0, TYPE_INDEXES).entries())
    sizes[index] = Math.min(type.size, INT32_MAX);
  const layout = { types: layouts, byName: firstByName(layouts), sizes };
  compiledLayouts.set(types, layout);
  return layout;
}

function firstByName(layouts: readonly TypeLayout[]): ReadonlyMap<string, TypeLayout> {
  const byName = new Map<string, TypeLayout>();
  for (const layout of layouts) if (!byName.has(layout.name)) byName.set(layout.name, layout);
  return byName;
}

class LayoutProblem extends Error {}

function compileType(
  type: UserDefinedType,
  byName: ReadonlyMap<string, UserDefinedType>,
): TypeLayout {
  const { name, size, isReference } = type;
  const fixed = { name, size, isReference };
  if (size === 0) {
    const problem = 'is length-prefixed and has no reader';
    return { ...fixed, members: new Map(), referenceOffsets: [], problem };
  }
  try {
    return { ...fixed, ...compileMembers(type, byName), problem: undefined };
  } catch (error) {
    if (!(error instanceof LayoutProblem)) throw error;
    return { ...fixed, members: new Map(), referenceOffsets: [], problem: error.message };
  }
}

interface CompiledMembers {
  readonly members: ReadonlyMap<string, MemberLayout>;
  readonly referenceOffsets: readonly number[];
}

function compileMembers(
  type: UserDefinedType,
  byName: ReadonlyMap<string, UserDefinedType>,
): CompiledMembers {
  const members = new Map<string, MemberLayout>();
  const referenceOffsets: number[] = [];
  for (const member of type.members) {
    const layout = compileMember(type, member, byName, referenceOffsets);
    if (!members.has(member.name)) members.set(member.name, layout);
  }
  return { members, referenceOffsets };
}

function compileMember(
  type: UserDefinedType,
  member: UserDefinedTypeMember,
  byName: ReadonlyMap<string, UserDefinedType>,
  referenceOffsets: number[],
): MemberLayout {
  const { offset, size } = member;
  if (offset + size > type.size) return misfit(member, 'does not fit its instance');
  if (member.isReference) {
    if (size < 8) return misfit(member, 'is a reference of less than 8 bytes');
    referenceOffsets.push(offset);
    return { kind: 'reference', offset };
  }
  const scalar = findScalarType(member.typeName);
  if (scalar !== undefined) {
    if (size !== scalar.size) return misfit(member, `is not ${scalar.size} bytes`);
    return { kind: scalar.type, offset };
  }
  const nested = nestedTypeOf(member, byName);
  if (nested === undefined) return misfit(member, 'is of an unknown type');
  if (offset + nested.size > type.size) return misfit(member, 'does not fit its instance');
  return compileNested(member, nested, byName, referenceOffsets);
}

function compileNested(
  member: UserDefinedTypeMember,
  nested: UserDefinedType,
  byName: ReadonlyMap<string, UserDefinedType>,
  referenceOffsets: number[],
): MemberLayout {
  const { offset } = member;
  const inner = compileMembers(nested, byName);
  for (const innerOffset of inner.referenceOffsets) referenceOffsets.push(offset + innerOffset);
  if (!nested.isReference) return { kind: 'record', offset };
  // An instance of a reference type stands for what its id points at.
  const id = inner.members.get('id');
  if (id === undefined) return misfit(member, 'is of a reference type without an id');
  return { kind: id.kind, offset: offset + id.offset };
}

function misfit(member: UserDefinedTypeMember, what: string): never {
  throw new LayoutProblem(`has a member "${member.name.slice(0, 64)}" that ${what}`);
}
