/**
 * Which types contain which by value. Metadata comes from outside: a type that contains itself, or a tower of
 * types that doubles at each floor, would make a decoder run or grow without limit.
 */
import type { UserDefinedType, UserDefinedTypeMember } from '@tracelake/domain';
import { isScalarTypeName } from './scalar-type.ts';
import { TransitDecodeError } from './transit-decode-error.ts';

/** A record names its type in one byte; the rest can only be nested. */
export const TYPES_MAX = 1024;
const NESTING_MAX = 32;
/** Members of a type once all nested ones are written out; the largest real type has about a dozen. */
export const FLAT_MEMBERS_MAX = 4096;

/** Finds types by name; of several with one name the first counts, as in the reference. */
export function typesByName(
  types: readonly UserDefinedType[],
): ReadonlyMap<string, UserDefinedType> {
  const byName = new Map<string, UserDefinedType>();
  for (const type of types) if (!byName.has(type.name)) byName.set(type.name, type);
  return byName;
}

/** The type held by value in a member, if it is one. */
export function nestedTypeOf(
  member: UserDefinedTypeMember,
  byName: ReadonlyMap<string, UserDefinedType>,
): UserDefinedType | undefined {
  if (member.isReference || isScalarTypeName(member.typeName)) return undefined;
  return byName.get(member.typeName);
}

/** Throws `transit.bad-metadata` unless every type nests finitely and reasonably. */
export function checkTypeNesting(types: readonly UserDefinedType[], field: string): void {
  if (types.length > TYPES_MAX) {
    throw new TransitDecodeError(
      'transit.bad-metadata',
      `cannot use type metadata: there are more than ${TYPES_MAX} types`,
      { field, limit: TYPES_MAX },
    );
  }
  const byName = typesByName(types);
  const flatCounts = new Map<UserDefinedType, number>();
  for (const type of types) countFlatMembers(type, 0);

  function countFlatMembers(type: UserDefinedType, depth: number): number {
    const known = flatCounts.get(type);
    if (known !== undefined) return known;
    if (depth > NESTING_MAX) fail(type, `nests deeper than ${NESTING_MAX} or contains itself`);
    let count = type.members.length;
    for (const member of type.members) {
      const nested = nestedTypeOf(member, byName);
      if (nested !== undefined) count += countFlatMembers(nested, depth + 1);
      if (count > FLAT_MEMBERS_MAX) fail(type, `has more than ${FLAT_MEMBERS_MAX} members in all`);
    }
    flatCounts.set(type, count);
    return count;
  }

  function fail(type: UserDefinedType, what: string): never {
    throw new TransitDecodeError(
      'transit.bad-metadata',
      `cannot use type metadata: type "${type.name.slice(0, 64)}" ${what}`,
      { field },
    );
  }
}
