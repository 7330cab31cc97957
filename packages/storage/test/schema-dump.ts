import type { Queryable } from '../src/postgres/database.ts';
import { sql } from '../src/postgres/sql.ts';

/**
 * The schema as text, from the catalogs of Postgres: tables with columns and defaults, constraints, indices,
 * functions, triggers. Equal schemas give equal text.
 */
export async function dumpSchema(db: Queryable): Promise<string> {
  const lines = [
    ...(await dumpFunctions(db)),
    ...(await dumpColumns(db)),
    ...(await dumpConstraints(db)),
    ...(await dumpIndices(db)),
    ...(await dumpTriggers(db)),
  ];
  return `${lines.join('\n')}\n`;
}

type Line = { line: string };

async function dumpColumns(db: Queryable): Promise<string[]> {
  const rows = await db.query<Line>(sql`
    SELECT format('column %s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
      CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
      CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text
        ELSE coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') END) AS line
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    ORDER BY c.relname, a.attnum`);
  return rows.map((row) => row.line);
}

async function dumpConstraints(db: Queryable): Promise<string[]> {
  const rows = await db.query<Line>(sql`
    SELECT format('constraint %s.%s %s', c.relname, o.conname, pg_get_constraintdef(o.oid)) AS line
    FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
    WHERE o.connamespace = 'public'::regnamespace AND o.contype <> 'n'
    ORDER BY c.relname, o.conname`);
  return rows.map((row) => row.line);
}

async function dumpIndices(db: Queryable): Promise<string[]> {
  const rows = await db.query<Line>(sql`
    SELECT 'index ' || indexdef AS line FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname`);
  return rows.map((row) => row.line);
}

async function dumpFunctions(db: Queryable): Promise<string[]> {
  const rows = await db.query<Line>(sql`
    SELECT 'function ' || regexp_replace(pg_get_functiondef(oid), '\\s+', ' ', 'g') AS line
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname`);
  return rows.map((row) => row.line);
}

async function dumpTriggers(db: Queryable): Promise<string[]> {
  const rows = await db.query<Line>(sql`
    SELECT 'trigger ' || pg_get_triggerdef(t.oid) AS line
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
    ORDER BY c.relname, t.tgname`);
  return rows.map((row) => row.line);
}
