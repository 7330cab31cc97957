import type { SeededRandom } from '@tracelake/test-kit';

const ID = '6a08e488-07e0-4ce6-80ec-c38b5dee8521';

const TABLES = [
  'processes',
  'Streams',
  '"BLOCKS"',
  'log_entries',
  'log_patterns',
  `view_instance('thread_spans', '${ID}')`,
  `span_stats('${ID}')`,
  'range(3)',
  'list_view_sets()',
];

/** Tables and functions that no statement may name. */
const FORBIDDEN_TABLES = [
  "'file.parquet'",
  '"secret.csv"',
  'main.processes',
  'lake.s1',
  'cte1',
  'duckdb_settings()',
  'duckdb_tables',
  "read_csv('x')",
  "Read_Parquet('x')",
  "glob('*')",
  "query('FROM processes')",
  'sqlite_master',
  'pg_catalog.pg_tables',
  'information_schema.columns',
  'not_in_scope',
  "view_instance('thread_spans', 'global')",
];

const FORBIDDEN_VALUES = [
  "getenv('HOME')",
  "GetEnv('HOME')",
  "current_setting('threads')",
  "getvariable('x')",
  'sleep_ms(1)',
  "write_log('x')",
  "json_serialize_plan('FROM x')",
  "list_transform([1], lambda x: getenv('x'))",
];

/**
 * Statements of every shape that the grammar nests tables and values in. With `forbidden`, exactly one table or
 * value of it is one that no statement may name.
 */
export class RandomStatement {
  readonly #random: SeededRandom;
  #budget = 40;
  #names = 0;
  #planted: 'table' | 'value' | undefined;

  constructor(random: SeededRandom, plant?: 'table' | 'value') {
    this.#random = random;
    this.#planted = plant;
  }

  text(): string {
    const sql = this.#query([]);
    if (this.#planted === undefined) return sql;
    // Nowhere yet: it goes into one more query around this one.
    return this.#planted === 'table'
      ? `SELECT 1 FROM (${sql}) AS o, ${this.#take(FORBIDDEN_TABLES)}`
      : `SELECT ${this.#take(FORBIDDEN_VALUES)} FROM (${sql}) AS o`;
  }

  #take(items: readonly string[]): string {
    this.#planted = undefined;
    return this.#random.pick(items);
  }

  #chance(oneIn: number): boolean {
    return this.#random.int(oneIn) === 0;
  }

  #query(scope: readonly string[]): string {
    this.#budget -= 1;
    if (this.#chance(5) && this.#budget > 0) return this.#withQuery(scope);
    if (this.#chance(6) && this.#budget > 0) {
      const operator = this.#random.pick(['UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT']);
      return `(${this.#select(scope)}) ${operator} (${this.#query(scope)})`;
    }
    return this.#select(scope);
  }

  #withQuery(scope: readonly string[]): string {
    const inner = [...scope];
    const entries: string[] = [];
    const free = ['processes', 'Blocks', 'T0'];
    for (let left = 1 + this.#random.int(3); left > 0; left--) {
      const fresh = `t${++this.#names}`;
      const name = this.#chance(2) ? fresh : (this.#random.shuffle(free).pop() ?? fresh);
      if (this.#chance(4)) {
        const body = `SELECT 1 AS x UNION ALL SELECT x + 1 FROM ${name} WHERE ${this.#value(inner)} IS NULL`;
        entries.push(`${name}(x) AS (${body})`);
      } else entries.push(`${name} AS (${this.#query(inner)})`);
      inner.push(name);
    }
    return `WITH RECURSIVE ${entries.join(', ')} ${this.#select(inner)}`;
  }

  #select(scope: readonly string[]): string {
    const parts = [`SELECT ${this.#value(scope)} AS x FROM ${this.#from(scope)}`];
    if (this.#chance(3)) parts.push(`WHERE ${this.#value(scope)} IS NOT NULL`);
    if (this.#chance(6)) parts.push(`GROUP BY ${this.#value(scope)}`);
    if (this.#chance(6)) parts.push(`HAVING ${this.#value(scope)} IS NULL`);
    if (this.#chance(6)) parts.push(`QUALIFY ${this.#value(scope)} IS NULL`);
    if (this.#chance(6)) parts.push(`ORDER BY ${this.#value(scope)}`);
    if (this.#chance(8)) parts.push('LIMIT 3');
    return parts.join(' ');
  }

  #from(scope: readonly string[]): string {
    const table = this.#table(scope);
    if (!this.#chance(3) || this.#budget <= 0) return table;
    const other = (): string => this.#table(scope);
    return this.#random.pick([
      () => `${table}, ${other()}`,
      () => `${table} CROSS JOIN ${other()}`,
      () => `${table} JOIN ${other()} ON ${this.#value(scope)} IS NULL`,
      () => `${table} LEFT JOIN LATERAL (${this.#query(scope)}) AS l ON true`,
      () => `${table} ANTI JOIN ${other()} ON true`,
    ])();
  }

  #table(scope: readonly string[]): string {
    if (this.#planted === 'table' && this.#chance(3)) return this.#take(FORBIDDEN_TABLES);
    const shape = this.#random.int(this.#budget > 0 ? 8 : 2);
    if (shape === 0 && scope.length > 0) return this.#random.pick(scope);
    if (shape === 2) return `(${this.#query(scope)}) AS s${++this.#names}`;
    if (shape === 3) return `range(${this.#value(scope)}) AS r${++this.#names}`;
    if (shape === 4) return `(DESCRIBE ${this.#query(scope)}) AS d${++this.#names}`;
    if (shape === 5) return `(VALUES (${this.#value(scope)})) AS v${++this.#names}(x)`;
    if (shape === 6) return `unnest([${this.#value(scope)}]) AS u${++this.#names}`;
    return this.#random.pick(TABLES);
  }

  #value(scope: readonly string[]): string {
    if (this.#planted === 'value' && this.#chance(3)) return this.#take(FORBIDDEN_VALUES);
    if (this.#budget <= 0 || this.#chance(3)) return '1';
    this.#budget -= 1;
    const inner = () => this.#value(scope);
    const query = () => this.#query(scope);
    return this.#random.pick([
      () => '1',
      () => "lower('A')",
      () => `(${query()})`,
      () => `EXISTS (${query()})`,
      () => `(${inner()} IN (${query()}))`,
      () => `(${inner()} > ALL (${query()}))`,
      () => `CASE WHEN ${inner()} THEN ${inner()} ELSE ${inner()} END`,
      () => `coalesce(${inner()}, ${inner()})`,
      () => `CAST(${inner()} AS VARCHAR)`,
      () => `list_transform([${inner()}], lambda y: ${inner()})`,
      () => `[z for z in [${inner()}] if ${inner()}]`,
      () => `{'a': ${inner()}}.a`,
      () => `(${inner()} BETWEEN ${inner()} AND ${inner()})`,
      () => `sum(${inner()} ORDER BY ${inner()}) FILTER (${inner()})`,
      () => `first_value((${query()})) OVER (PARTITION BY (${query()}) ORDER BY (${query()}))`,
      () => `ARRAY(${query()})`,
      () => `(NOT ${inner()})`,
    ])();
  }
}
