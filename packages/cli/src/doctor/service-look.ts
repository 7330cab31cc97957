import { networkReason } from '../client/http-call.ts';
import type { ServiceName } from '../client/service-endpoints.ts';
import { MetricSamples } from './metric-samples.ts';

/** What a service said of itself; whatever it did not say is undefined. */
export interface ServiceLook {
  readonly service: ServiceName;
  readonly url: string;
  /** Why nothing answers there. */
  readonly unreachable: string | undefined;
  readonly isReady: boolean;
  /** The dependencies that fail with their reasons; empty when none does or the answer was not one of ours. */
  readonly failing: readonly string[];
  /** What a service that is not ready answered, when it does not name what fails. */
  readonly answer: string;
  readonly metrics: MetricSamples | undefined;
  readonly version: string | undefined;
  /** The name that it gives itself: `ingest`, `partition-materializer`. */
  readonly answeredAs: string | undefined;
  /** Whether its readiness was told as our services tell it. */
  readonly isOurs: boolean;
  /** The service's clock less our own, to about a second. */
  readonly clockAheadMs: number | undefined;
}

const timeoutMs = 10_000;

/** Asks for `/readyz` and `/metrics`. Throws only when the signal aborts. */
export async function lookAtService(
  service: ServiceName,
  url: string,
  signal: AbortSignal,
): Promise<ServiceLook> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const response = await fetch(`${url}/readyz`, { signal: either });
    const clockAheadMs = clockAhead(response.headers.get('date'));
    const text = await response.text();
    const metrics = await readMetrics(url, either);
    return {
      service,
      url,
      unreachable: undefined,
      isReady: response.ok,
      failing: failingChecks(text),
      answer: `status ${response.status}, ${text.slice(0, 300)}`,
      metrics,
      version: metrics?.all('tracelake_build_info')[0]?.labels.version,
      answeredAs: metrics?.all('tracelake_build_info')[0]?.labels.service,
      isOurs: readinessOf(text) !== undefined,
      clockAheadMs,
    };
  } catch (error) {
    signal.throwIfAborted();
    return {
      service,
      url,
      unreachable: networkReason(error),
      isReady: false,
      failing: [],
      answer: '',
      metrics: undefined,
      version: undefined,
      answeredAs: undefined,
      isOurs: false,
      clockAheadMs: undefined,
    };
  }
}

async function readMetrics(url: string, signal: AbortSignal): Promise<MetricSamples | undefined> {
  try {
    const response = await fetch(`${url}/metrics`, { signal });
    const text = await response.text();
    return response.ok ? new MetricSamples(text) : undefined;
  } catch {
    return undefined;
  }
}

function clockAhead(date: string | null): number | undefined {
  const timeMs = Date.parse(date ?? '');
  // The header has whole seconds, cut off.
  return Number.isNaN(timeMs) ? undefined : timeMs + 500 - Date.now();
}

interface ReadinessAnswer {
  readonly failing?: readonly string[];
  readonly checks?: Readonly<Record<string, { readonly error?: string }>>;
}

function failingChecks(text: string): string[] {
  const { failing = [], checks = {} } = readinessOf(text) ?? {};
  return failing.map((name) => `${name} (${checks[name]?.error ?? 'failed'})`);
}

/** Undefined for the answer of something else, such as a web server or a proxy. */
function readinessOf(text: string): ReadinessAnswer | undefined {
  try {
    const answer = JSON.parse(text) as ReadinessAnswer | null;
    return Array.isArray(answer?.failing) ? answer : undefined;
  } catch {
    return undefined;
  }
}
