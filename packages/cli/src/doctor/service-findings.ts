/** What the services' answers mean. */
import { formatBytes } from '../output/quantity.ts';
import type { Finding } from './finding.ts';
import type { ServiceLook } from './service-look.ts';

const clockSkewMaxMs = 5000;
const freeShareNote = 0.1;
const freeShareWrong = 0.05;

export function judgeServices(looks: readonly ServiceLook[]): Finding[] {
  const answering = looks.filter(({ unreachable }) => unreachable === undefined);
  const urls = looks.map(({ url }) => url);
  return [
    ...looks.map((look) => judgeAddress(look, urls) ?? judgeReadiness(look)),
    ...judgeVersions(answering),
    ...answering.flatMap(judgeClock),
    ...judgeFreeSpace(answering),
  ];
}

/** Behind one address for several services, which a gateway has, any of them may answer. */
function judgeAddress(look: ServiceLook, urls: readonly string[]): Finding | undefined {
  const { service, url, unreachable, isReady, isOurs, answer, answeredAs } = look;
  const isShared = urls.filter((one) => one === url).length > 1;
  if (unreachable !== undefined || isShared) return undefined;
  const wanted = service === 'materializer' ? 'partition-materializer' : service;
  const isOther = answeredAs !== undefined && answeredAs !== wanted;
  // A proxy in front of a service that is away answers an error of its own.
  if (!isOther && (isOurs || !isReady)) return undefined;
  const who = isOther ? answeredAs : `something that is no service of Tracelake (${answer})`;
  const text = `at ${url}, where ${service} should be, answers ${who}: correct --url or its variable`;
  return { verdict: 'wrong', check: 'service', text, runbook: 'service-down' };
}

function judgeReadiness({
  service,
  url,
  unreachable,
  isReady,
  failing,
  answer,
}: ServiceLook): Finding {
  const check = 'service';
  if (unreachable !== undefined) {
    const advice =
      'start it ("npm start" on one machine), or name another with --url or its variable';
    const text = `${service} does not answer at ${url} (${unreachable}); ${advice}`;
    return { verdict: 'wrong', check, text, runbook: 'service-down' };
  }
  const runbook = 'service-not-ready';
  const without = failing.join(', ');
  if (!isReady) {
    const why = without === '' ? answer : without;
    return { verdict: 'wrong', check, text: `${service} at ${url} is not ready: ${why}`, runbook };
  }
  if (without !== '') {
    return {
      verdict: 'note',
      check,
      text: `${service} at ${url} works, but without ${without}`,
      runbook,
    };
  }
  return { verdict: 'well', check, text: `${service} at ${url} is ready` };
}

/** Two versions side by side work, and are meant to be so during an upgrade only. */
function judgeVersions(looks: readonly ServiceLook[]): Finding[] {
  const known = looks.filter(({ version }) => version !== undefined);
  const versions = [...new Set(known.map(({ version }) => version))];
  if (versions.length === 0) return [];
  if (versions.length === 1) {
    return [{ verdict: 'well', check: 'versions', text: `all of them are version ${versions[0]}` }];
  }
  const each = known.map(({ service, version }) => `${service} ${version}`).join(', ');
  const text = `services are of different versions: ${each}; finish the upgrade or roll it back`;
  return [{ verdict: 'note', check: 'versions', text, runbook: 'upgrade' }];
}

function judgeClock({ service, clockAheadMs }: ServiceLook): Finding[] {
  if (clockAheadMs === undefined || Math.abs(clockAheadMs) <= clockSkewMaxMs) return [];
  const seconds = Math.round(Math.abs(clockAheadMs) / 1000);
  const direction = clockAheadMs > 0 ? 'ahead of' : 'behind';
  const text =
    `the clock of ${service} is ${seconds} s ${direction} the one here: set both by NTP; ` +
    'times in logs and of relative ranges are off by as much';
  return [{ verdict: 'note', check: 'clock', text, runbook: 'service-not-ready' }];
}

/** Services that share a directory store tell the same. */
function judgeFreeSpace(looks: readonly ServiceLook[]): Finding[] {
  for (const { metrics } of looks) {
    const free = metrics?.find('tracelake_store_free_bytes');
    const size = metrics?.find('tracelake_store_size_bytes');
    if (free === undefined || size === undefined || size <= 0) continue;
    const share = free / size;
    const text = `${formatBytes(free)} of ${formatBytes(size)} are free where the objects are`;
    if (share >= freeShareNote) return [{ verdict: 'well', check: 'disk', text }];
    const verdict = share < freeShareWrong ? 'wrong' : 'note';
    return [{ verdict, check: 'disk', text, runbook: 'disk-filling' }];
  }
  return [];
}
