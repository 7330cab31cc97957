/**
 * The second look at a statement, after the analysis has rewritten it and independent of it: whatever
 * touches more than tables of the schema `lake` and computing functions is refused here by name. Kinds of
 * node that are not known are refused too.
 */

import { EngineError } from './engine-error.ts';

/** Table functions that only compute. */
const TABLE_FUNCTIONS = new Set([
  'range',
  'generate_series',
  'unnest',
  'json_each',
  'json_tree',
  'regexp_split_to_table',
]);

/** Scalar functions that look at or act on more than their arguments. */
const REFUSED_FUNCTIONS = new Set([
  'current_setting',
  'getenv',
  'getvariable',
  'write_log',
  'sleep_ms',
  'nextval',
  'currval',
  'setseed',
  'current_query',
  'current_query_id',
  'current_connection_id',
  'current_transaction_id',
  'txid_current',
  'current_database',
  'current_schemas',
  'in_search_path',
  'stats',
  'json_serialize_plan',
]);

const TABLE_REFS = new Set([
  'BASE_TABLE',
  'SUBQUERY',
  'JOIN',
  'TABLE_FUNCTION',
  'EMPTY',
  'EXPRESSION_LIST',
  'PIVOT',
  'SHOW_REF',
]);

/** System catalogs answer to unqualified names: not even a CTE may be called so. */
const SYSTEM_NAME = /^(duckdb_|pg_|sqlite_|pragma_|information_schema)/i;

/**
 * Gives the tables of the lake that the statement names. Throws `query.unknown-table`, `query.function-refused` or
 * `query.not-a-select`.
 */
export function checkRewritten(
  tree: unknown,
  lakeTables: ReadonlySet<string>,
  macros: ReadonlySet<string>,
): ReadonlySet<string> {
  const statements = isNode(tree) ? tree.statements : undefined;
  if (!Array.isArray(statements) || statements.length !== 1) {
    throw new EngineError('query.several-statements', 'one statement at a time');
  }
  const named = new Set<string>();
  const names = new Set<string>();
  visit(tree, (node) => collectCteNames(node, names));
  visit(tree, (node) => {
    if (node.class === undefined && 'sample' in node && 'alias' in node) {
      checkTableRef(node, { lakeTables, macros, ctes: names, named });
    }
    if (node.class === 'FUNCTION' || node.class === 'WINDOW') checkFunction(node);
  });
  return named;
}

type Node = Record<string, unknown>;

interface Known {
  readonly lakeTables: ReadonlySet<string>;
  readonly macros: ReadonlySet<string>;
  readonly ctes: ReadonlySet<string>;
  /** Of `lakeTables`, those met. */
  readonly named: Set<string>;
}

function checkTableRef(node: Node, known: Known): void {
  const type = String(node.type);
  if (!TABLE_REFS.has(type)) {
    throw new EngineError('query.not-a-select', `${type} cannot stand as a table`);
  }
  if (type === 'BASE_TABLE') checkBaseTable(node, known);
  if (type === 'SHOW_REF' && !isNode(node.query)) {
    throw new EngineError(
      'query.not-a-select',
      'SHOW is refused: list_view_sets() lists the views',
    );
  }
  if (type === 'TABLE_FUNCTION') {
    const name = isNode(node.function) ? String(node.function.function_name).toLowerCase() : '';
    if (!TABLE_FUNCTIONS.has(name) && !known.macros.has(name))
      throw refused(`table function ${name}`);
  }
}

function checkBaseTable(node: Node, { lakeTables, ctes, named }: Known): void {
  const name = String(node.table_name);
  const plain = node.catalog_name === '' && (node.at_clause ?? null) === null;
  if (plain && node.schema_name === 'lake' && lakeTables.has(name)) {
    named.add(name);
    return;
  }
  const isCte = plain && node.schema_name === '' && ctes.has(name.toLowerCase());
  if (isCte && !SYSTEM_NAME.test(name)) return;
  throw new EngineError('query.unknown-table', `there is no table ${name}`);
}

function checkFunction(node: Node): void {
  const name = String(node.function_name).toLowerCase();
  if (REFUSED_FUNCTIONS.has(name) || SYSTEM_NAME.test(name)) throw refused(`function ${name}`);
}

function collectCteNames(node: Node, names: Set<string>): void {
  if (isNode(node.cte_map) && Array.isArray(node.cte_map.map)) {
    for (const entry of node.cte_map.map) if (isNode(entry)) addName(entry.key, names);
  }
  addName(node.cte_name, names);
  addName(node.ctename, names);
}

function addName(name: unknown, names: Set<string>): void {
  if (typeof name === 'string') names.add(name.toLowerCase());
}

/** Every object of the tree. A tree too deep for the stack ends in a RangeError. */
function visit(value: unknown, look: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const member of value) visit(member, look);
  } else if (isNode(value)) {
    look(value);
    for (const key of Object.keys(value)) visit(value[key], look);
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(what: string): EngineError {
  return new EngineError('query.function-refused', `${what} is refused`);
}
