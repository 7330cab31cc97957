import { schemaHashOf, type ViewRegistry } from '@tracelake/lakehouse';
import type { DerivedView } from './derived-views.ts';
import { columnsFrom, sqlTypeOf } from './sql-column.ts';
import { quoteText } from './sql-text.ts';

/** `list_view_sets()`: what there is to read by `view_instance`, with schemas; it reads nothing itself. */
export function listViewSetsView(
  views: ViewRegistry,
  globalViews: ReadonlySet<string>,
): DerivedView {
  const rows = views.list().map((view) => {
    const schema = view.columns.map(({ name, type }) => `${name} ${sqlTypeOf(type)}`).join(', ');
    const texts = [view.name, schemaHashOf(view), schema].map(quoteText);
    return `(${texts.join(', ')}, true, ${globalViews.has(view.name)})`;
  });
  const columns = columnsFrom(`
    view_set_name VARCHAR
    current_schema_hash VARCHAR
    schema VARCHAR
    has_view_maker BOOLEAN
    global_instance_available BOOLEAN
  `);
  const names = columns.map(({ name }) => name).join(', ');
  return {
    name: 'list_view_sets',
    asTable: false,
    parameters: [],
    columns,
    sources: () => ({}),
    sql: () => `SELECT * FROM (VALUES ${rows.join(', ')}) AS view_sets (${names})`,
  };
}
