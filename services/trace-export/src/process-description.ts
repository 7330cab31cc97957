import { formatRfc3339, type ProcessInfo } from '@tracelake/domain';

/** Longer texts are for a query, not for a tooltip. */
const VALUE_CHARACTERS_MAX = 500;
const PROPERTIES_MAX = 50;

/** What is known of a process beyond its name, a line each, for the help of its track. */
export function describeProcess(process: ProcessInfo): string {
  const facts: [string, string][] = [
    ['program', process.exe],
    ['process id', process.processId],
    ['parent process id', process.parentProcessId ?? ''],
    ['user', process.username],
    ['real name', process.realname],
    ['computer', process.computer],
    ['system', process.distro],
    ['CPU', process.cpuBrand],
    ['started', formatRfc3339(process.startNs)],
  ];
  const known = new Set(facts.map(([, value]) => value));
  const properties = Object.entries(process.properties)
    .filter(([, value]) => !known.has(value))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, PROPERTIES_MAX);
  return [...facts, ...properties]
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}: ${value.slice(0, VALUE_CHARACTERS_MAX)}`)
    .join('\n');
}
