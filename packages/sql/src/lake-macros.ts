/** Functions of the lake, as macros of the engine. */

/** CREATE MACRO statements, to be run in order before the engine is locked down. */
export function lakeMacros(): string[] {
  return [];
}

/** Their names, lower case. */
export const LAKE_MACRO_NAMES: readonly string[] = [];
