import { ALLOWED_FUNCTIONS, ALLOWED_TABLE_FUNCTIONS } from './allowed-functions.ts';
import { insteadOf } from './dialect-hints.ts';
import { LAKE_MACRO_NAMES, LAKE_TABLE_MACRO_NAMES } from './lake-macros.ts';
import { isSerialisedObject, type SerialisedObject } from './serialised-statement.ts';
import { LAKE_SCHEMA } from './source-ref.ts';
import type { SourceTables } from './source-table.ts';
import { SqlError, type SqlErrorCode } from './sql-error.ts';

/** Common table expressions in scope: lower-case name to the name they have in the rewritten statement. */
type Scope = ReadonlyMap<string, string>;

interface CommonTable {
  readonly name: string;
  readonly unique: string;
}

/** Levels of the serialised tree; the engine's own limit of 1,000 nested expressions lies below. */
const DEPTH_MAX = 2_500;

const QUERY_NODES = new Set(['SELECT_NODE', 'SET_OPERATION_NODE', 'RECURSIVE_CTE_NODE']);

const EXPRESSION_CLASSES = new Set(
  (
    'BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT DEFAULT FUNCTION LAMBDA LAMBDA_REF ' +
    'OPERATOR PARAMETER POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW'
  ).split(' '),
);

/** What else says its kind: clauses after the SELECT, an order's direction, the parts of a type. */
const OTHER_KINDS = /^([A-Z]+_MODIFIER|ASCENDING|DESCENDING|ORDER_DEFAULT|[A-Z_]+_TYPE_INFO)$/;

/** Walks one statement from its root; an instance is used once. */
export class StatementRewriter {
  readonly #tables: SourceTables;
  #commonTables = 0;
  #depth = 0;

  constructor(tables: SourceTables) {
    this.#tables = tables;
  }

  rewrite(statement: unknown): unknown {
    return this.#walk(statement, new Map());
  }

  #walk(value: unknown, scope: Scope): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#walk(item, scope));
    if (!isSerialisedObject(value)) return value;
    if (++this.#depth > DEPTH_MAX)
      throw new SqlError('sql.unsupported', 'the statement is nested too deeply');
    const rewritten = this.#object(value, scope);
    this.#depth--;
    return rewritten;
  }

  #object(value: SerialisedObject, scope: Scope): unknown {
    const { class: expressionClass, type } = value;
    if (expressionClass !== undefined) return this.#expression(value, scope);
    if (typeof type === 'string') {
      if (QUERY_NODES.has(type)) return this.#queryNode(value, scope);
      return this.#tableReference(type, value, scope);
    }
    // Only an expression names a function and only a table reference a table: such a thing under no name of its own is unknown.
    if ('table_name' in value || 'function_name' in value || 'cte_map' in value)
      throw unsupported('an unnamed clause', value);
    return this.#members(value, scope);
  }

  #members(value: SerialisedObject, scope: Scope): SerialisedObject {
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key, this.#walk(member, scope)]),
    );
  }

  #expression(value: SerialisedObject, scope: Scope): unknown {
    const { class: expressionClass } = value;
    if (typeof expressionClass !== 'string' || !EXPRESSION_CLASSES.has(expressionClass))
      throw unsupported(String(expressionClass), value);
    if (expressionClass === 'CONSTANT') return value;
    if ('function_name' in value) checkFunction(value);
    return this.#members(value, scope);
  }

  /** A query: its common table expressions come in scope one after the other, then all for the rest of it. */
  #queryNode(node: SerialisedObject, outer: Scope, declared?: CommonTable): unknown {
    const { cte_map: commonTables, ...rest } = node;
    let scope = outer;
    const entries: unknown[] = [];
    for (const entry of commonTableEntries(commonTables, node)) {
      const key = String(entry.key);
      const commonTable = this.#commonTable(key);
      entries.push({
        ...entry,
        key: commonTable.unique,
        value: this.#commonTableBody(entry.value, commonTable, scope),
      });
      scope = new Map(scope).set(lowerAscii(key), commonTable.unique);
    }
    const members =
      rest.type === 'RECURSIVE_CTE_NODE'
        ? this.#recursive(rest, scope, declared)
        : this.#members(withoutType(rest), scope);
    return { ...members, type: rest.type, cte_map: { map: entries } };
  }

  #commonTableBody(body: unknown, commonTable: CommonTable, scope: Scope): unknown {
    if (!isSerialisedObject(body)) throw unsupported('WITH', {});
    const { query, ...rest } = body;
    if (!isSerialisedObject(query) || !isSerialisedObject(query.node))
      throw unsupported('WITH', body);
    const { node, ...others } = query;
    const rewritten = isQueryNode(node)
      ? this.#queryNode(node, scope, commonTable)
      : this.#walk(node, scope);
    return {
      ...this.#members(rest, scope),
      query: { ...this.#members(others, scope), node: rewritten },
    };
  }

  /** Only the recurring part of a recursive query sees the query itself. */
  #recursive(node: SerialisedObject, scope: Scope, declared?: CommonTable): SerialisedObject {
    const name = String(node.cte_name);
    const { unique } =
      declared !== undefined && lowerAscii(declared.name) === lowerAscii(name)
        ? declared
        : this.#commonTable(name);
    const { right, ...rest } = withoutType(node);
    return {
      ...this.#members(rest, scope),
      cte_name: unique,
      right: this.#walk(right, new Map(scope).set(lowerAscii(name), unique)),
    };
  }

  #commonTable(name: string): CommonTable {
    this.#commonTables += 1;
    return { name, unique: `cte${this.#commonTables}` };
  }

  #tableReference(type: string, value: SerialisedObject, scope: Scope): unknown {
    switch (type) {
      case 'BASE_TABLE':
        return this.#baseTable(value, scope);
      case 'TABLE_FUNCTION':
        return this.#tableFunction(value, scope);
      case 'SHOW_REF':
        if (!isSerialisedObject(value.query))
          throw new SqlError(
            'sql.unsupported',
            'SHOW and DESCRIBE without a query are refused: list_view_sets() tells what there is',
          );
        return { ...this.#members(withoutType(value), scope), type };
      case 'SUBQUERY':
      case 'JOIN':
      case 'EMPTY':
      case 'EXPRESSION_LIST':
      case 'PIVOT':
        return { ...this.#members(withoutType(value), scope), type };
      default:
        if (!OTHER_KINDS.test(type) || 'table_name' in value || 'function_name' in value)
          throw unsupported(type, value);
        return { ...this.#members(withoutType(value), scope), type };
    }
  }

  #baseTable(value: SerialisedObject, scope: Scope): unknown {
    const name = String(value.table_name);
    const path = [value.catalog_name, value.schema_name].filter(isNonEmptyText);
    const commonTable = scope.get(lowerAscii(name));
    if (isSerialisedObject(value.at_clause))
      throw new SqlError('sql.unsupported', `${name} AT (...) is refused: tables have no versions`);
    // `recurring.t` is how a recursive query with a key names all it has so far.
    if (path.length === 1 && path[0] === 'recurring' && commonTable !== undefined)
      return { ...value, table_name: commonTable, alias: aliasOf(value, name) };
    if (path.length > 0) throw unknownTable([...path, name].join('.'), value);
    if (commonTable !== undefined)
      return { ...value, table_name: commonTable, alias: aliasOf(value, name) };
    const table = this.#tables.named(lowerAscii(name));
    if (table === undefined) throw unknownTable(name, value);
    return lakeTable(value, table, name);
  }

  #tableFunction(value: SerialisedObject, scope: Scope): unknown {
    const { function: call } = value;
    if (!isSerialisedObject(call) || call.class !== 'FUNCTION')
      throw unsupported('TABLE_FUNCTION', value);
    const name = String(call.function_name);
    if (isQualified(call) || !this.#tables.isFunction(lowerAscii(name))) {
      if (isQualified(call) || !isTableFunction(lowerAscii(name)))
        throw refused(
          'sql.function-refused',
          `${name} is no function of the lake's tables${insteadOf(lowerAscii(name))}`,
          value,
        );
      const { function: _call, ...rest } = withoutType(value);
      return {
        ...this.#members(rest, scope),
        type: 'TABLE_FUNCTION',
        alias: aliasOf(value, name),
        function: this.#members(call, scope),
      };
    }
    if (isNonEmptyText(value.with_ordinality) && value.with_ordinality !== 'WITHOUT_ORDINALITY')
      throw refused('sql.unsupported', `${name} WITH ORDINALITY is refused`, value);
    const table = this.#tables.called(lowerAscii(name), literalArguments(name, call));
    return lakeTable(value, table, name);
  }
}

function lakeTable(value: SerialisedObject, table: string, name: string): SerialisedObject {
  return {
    type: 'BASE_TABLE',
    alias: aliasOf(value, name),
    sample: value.sample ?? null,
    query_location: value.query_location ?? 0,
    schema_name: LAKE_SCHEMA,
    table_name: table,
    column_name_alias: value.column_name_alias ?? [],
    catalog_name: '',
    at_clause: null,
  };
}

function literalArguments(name: string, call: SerialisedObject): string[] {
  const { children } = call;
  if (!Array.isArray(children)) throw unsupported('TABLE_FUNCTION', call);
  return children.map((child: unknown) => {
    const literal = isSerialisedObject(child) && child.class === 'CONSTANT' ? child.value : {};
    const value = isSerialisedObject(literal) ? literal.value : undefined;
    const named = isSerialisedObject(child) && isNonEmptyText(child.alias);
    if (typeof value === 'string' && !named) return value;
    throw refused(
      'sql.bad-arguments',
      `arguments of ${name} are text literals: what a query reads is known before it runs`,
      call,
    );
  });
}

function isTableFunction(name: string): boolean {
  return ALLOWED_TABLE_FUNCTIONS.has(name) || LAKE_TABLE_MACRO_NAMES.has(name);
}

function checkFunction(value: SerialisedObject): void {
  const name = String(value.function_name);
  const lower = lowerAscii(name);
  if (!isQualified(value) && (ALLOWED_FUNCTIONS.has(lower) || LAKE_MACRO_NAMES.has(lower))) return;
  throw refused(
    'sql.function-refused',
    `function ${name} is refused or unknown${insteadOf(lower)}`,
    value,
  );
}

/** The parser itself qualifies what an operator stands for by `main`. */
function isQualified(value: SerialisedObject): boolean {
  const { schema, catalog } = value;
  return isNonEmptyText(catalog) || (isNonEmptyText(schema) && schema !== 'main');
}

function commonTableEntries(commonTables: unknown, node: SerialisedObject): SerialisedObject[] {
  if (commonTables === undefined) return [];
  const entries = isSerialisedObject(commonTables) ? commonTables.map : undefined;
  if (!Array.isArray(entries) || !entries.every(isSerialisedObject))
    throw unsupported('WITH', node);
  return entries;
}

function isQueryNode(value: SerialisedObject): boolean {
  return typeof value.type === 'string' && QUERY_NODES.has(value.type);
}

function withoutType(value: SerialisedObject): SerialisedObject {
  const { type: _type, ...rest } = value;
  return rest;
}

function aliasOf(value: SerialisedObject, name: string): string {
  return isNonEmptyText(value.alias) ? value.alias : name;
}

function isNonEmptyText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** Names compare as the engine compares them: without the case of ASCII letters. */
function lowerAscii(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function unknownTable(name: string, value: SerialisedObject): SqlError {
  return refused(
    'sql.unknown-table',
    `there is no table ${name}; list_view_sets() tells what there is, view_instance(...) reads it`,
    value,
  );
}

function unsupported(what: string, value: SerialisedObject): SqlError {
  return refused('sql.unsupported', `${what} is refused`, value);
}

function refused(code: SqlErrorCode, message: string, value: SerialisedObject): SqlError {
  const { query_location: position } = value;
  return new SqlError(code, message, {
    details: typeof position === 'number' && Number.isSafeInteger(position) ? { position } : {},
  });
}
