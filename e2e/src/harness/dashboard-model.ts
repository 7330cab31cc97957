/** The parts of Grafana's dashboard model that our dashboards use. */

export interface DashboardTarget {
  readonly refId?: string;
  readonly expr?: string;
  readonly legendFormat?: string;
  readonly datasource?: { readonly type?: string; readonly uid?: string };
}

interface DashboardPanel {
  readonly id?: number;
  readonly type?: string;
  readonly title?: string;
  readonly description?: string;
  readonly gridPos?: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly fieldConfig?: { readonly defaults?: { readonly unit?: string } };
  readonly targets?: readonly DashboardTarget[];
}

interface DashboardVariable {
  readonly name?: string;
  readonly type?: string;
  readonly query?: string | { readonly query?: string };
}

export interface Dashboard {
  readonly uid?: string;
  readonly title?: string;
  readonly schemaVersion?: number;
  readonly panels?: readonly DashboardPanel[];
  readonly templating?: { readonly list?: readonly DashboardVariable[] };
}

/** Ids of Grafana's units that our dashboards may use; a misspelt one shows bare numbers without a word. */
const UNITS: ReadonlySet<string> = new Set([
  ...['short', 'percentunit', 'ops', 'reqps', 'rps', 'rowsps', 'Bps', 'bytes', 'decbytes'],
  ...['ns', 'µs', 'ms', 's', 'none'],
]);

/** Says what keeps Grafana from showing the dashboard as it is meant. */
export function problemsOfDashboard(dashboard: Dashboard): readonly string[] {
  const { uid, title, schemaVersion, panels = [] } = dashboard;
  const problems: string[] = [];
  const need = (isGiven: boolean, what: string) => isGiven || problems.push(what);
  need(/^[\w-]{1,40}$/.test(uid ?? ''), 'has no uid that Grafana takes');
  need((title ?? '') !== '', 'has no title');
  need((schemaVersion ?? 0) >= 36, 'has no schemaVersion of a Grafana that is still supported');
  const variables = dashboard.templating?.list ?? [];
  const source = variables.find(({ type }) => type === 'datasource');
  need(source?.query === 'prometheus', 'does not let choose a Prometheus data source');
  const ids = panels.map(({ id }) => id);
  need(new Set(ids).size === panels.length, 'has two panels of one id');
  for (const panel of panels.filter(({ type }) => type !== 'row')) {
    const name = `panel "${panel.title ?? panel.id}"`;
    need((panel.title ?? '') !== '', `${name} has no title`);
    need((panel.description ?? '').length > 20, `${name} does not say what it shows`);
    const unit = panel.fieldConfig?.defaults?.unit ?? '';
    need(UNITS.has(unit), `${name} has no unit that is known: "${unit}"`);
    need((panel.targets ?? []).length > 0, `${name} asks for nothing`);
    for (const { datasource } of panel.targets ?? []) {
      need(
        datasource?.uid === `\${${source?.name}}`,
        `${name} does not ask the chosen data source`,
      );
    }
  }
  return [...problems, ...overlapsOf(panels)];
}

function overlapsOf(panels: readonly DashboardPanel[]): readonly string[] {
  const problems: string[] = [];
  const taken = new Map<string, string>();
  for (const { title = '', gridPos } of panels) {
    if (gridPos === undefined || gridPos.x + gridPos.w > 24) {
      problems.push(`panel "${title}" has no place on the grid`);
      continue;
    }
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        const other = taken.get(`${x},${y}`);
        if (other !== undefined && other !== title) {
          problems.push(`panels "${other}" and "${title}" lie on each other`);
        }
        taken.set(`${x},${y}`, title);
      }
    }
  }
  return [...new Set(problems)];
}

export interface DashboardQuestion {
  readonly where: string;
  readonly expression: string;
  /** Labels that the legend shows. */
  readonly legendLabels: readonly string[];
}

/**
 * Everything that the dashboard asks Prometheus for, its variables included. Numbers that a reader may type in are what
 * they are at first.
 */
export function questionsOf(dashboard: Dashboard): readonly DashboardQuestion[] {
  const typed = (dashboard.templating?.list ?? []).filter(({ type }) => type === 'textbox');
  const withTyped = (expression: string) =>
    typed.reduce(
      (text, { name = '', query }) => text.replaceAll(`$${name}`, String(query)),
      expression,
    );
  const ofPanels = (dashboard.panels ?? []).flatMap(({ title = '', targets = [] }) =>
    targets.map(({ expr = '', refId = '', legendFormat = '' }) => ({
      where: `panel "${title}" ${refId}`,
      expression: withTyped(expr),
      legendLabels: [...legendFormat.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(
        ([, label = '']) => label,
      ),
    })),
  );
  const ofVariables = (dashboard.templating?.list ?? [])
    .filter(({ type }) => type === 'query')
    .map(({ name, query }) => {
      const text = typeof query === 'string' ? query : (query?.query ?? '');
      const asked = /^label_values\((.+),\s*(\w+)\)$/.exec(text);
      const [, expression = text, label = ''] = asked ?? [];
      return { where: `variable ${name}`, expression, legendLabels: [label] };
    });
  return [...ofPanels, ...ofVariables];
}
