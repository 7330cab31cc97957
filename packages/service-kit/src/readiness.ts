import { errorMessage } from '@tracelake/domain';

/** Answers or throws; the signal fires when nobody waits any more. */
export type ReadinessCheck = (signal: AbortSignal) => Promise<void>;

export interface CheckReport {
  readonly status: 'ok' | 'failed';
  readonly durationMs: number;
  readonly error?: string;
}

export interface ReadinessReport {
  /** `degraded`: only dependencies fail that the service can do without for a while. */
  readonly status: 'ready' | 'degraded' | 'not-ready' | 'draining';
  /** Names of the checks that failed, optional ones included. */
  readonly failing: readonly string[];
  readonly checks: Readonly<Record<string, CheckReport>>;
}

export interface ReadinessOptions {
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  /** Dependencies that the service can do without for a while: named when they fail, still ready. */
  readonly optionalChecks?: Readonly<Record<string, ReadinessCheck>>;
  /** How long one check may take before it counts as failed. */
  readonly checkTimeoutMs: number;
}

/** Whether a service with this report can take work. */
export function takesWork(report: ReadinessReport): boolean {
  return report.status === 'ready' || report.status === 'degraded';
}

/**
 * Whether a service can take work. Callers that come while a check runs share its result, and a check
 * that hangs is not started again before it ends: probes never pile up on a sick dependency.
 */
export class Readiness {
  readonly #checks: Readonly<Record<string, ReadinessCheck>>;
  readonly #required: ReadonlySet<string>;
  readonly #checkTimeoutMs: number;
  readonly #running = new Map<string, Promise<void>>();
  #isDraining = false;
  #report: Promise<ReadinessReport> | undefined;

  constructor(options: ReadinessOptions) {
    this.#checks = { ...options.checks, ...options.optionalChecks };
    this.#required = new Set(Object.keys(options.checks));
    this.#checkTimeoutMs = options.checkTimeoutMs;
  }

  /** From here on the answer is `draining`, whatever the dependencies say. */
  beginDrain(): void {
    this.#isDraining = true;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  check(): Promise<ReadinessReport> {
    this.#report ??= this.#checkAll().finally(() => {
      this.#report = undefined;
    });
    return this.#report;
  }

  async #checkAll(): Promise<ReadinessReport> {
    const names = Object.keys(this.#checks);
    const reports = await Promise.all(names.map((name) => this.#checkOne(name)));
    const checks = Object.fromEntries(names.map((name, index) => [name, reports[index]]));
    const failing = names.filter((_, index) => reports[index]?.status === 'failed');
    return {
      status: this.#statusOf(failing),
      failing,
      checks: checks as Record<string, CheckReport>,
    };
  }

  #statusOf(failing: readonly string[]): ReadinessReport['status'] {
    if (this.#isDraining) return 'draining';
    if (failing.length === 0) return 'ready';
    return failing.some((name) => this.#required.has(name)) ? 'not-ready' : 'degraded';
  }

  async #checkOne(name: string): Promise<CheckReport> {
    const startedMs = performance.now();
    const timeoutMs = this.#checkTimeoutMs;
    const deadline = AbortSignal.timeout(timeoutMs);
    let check = this.#running.get(name);
    if (check === undefined) {
      check = this.#start(name, deadline);
      this.#running.set(name, check);
    }
    try {
      await settleBefore(check, deadline, `no answer within ${timeoutMs} ms`);
      return { status: 'ok', durationMs: roundMs(performance.now() - startedMs) };
    } catch (error) {
      const durationMs = roundMs(performance.now() - startedMs);
      return { status: 'failed', durationMs, error: errorMessage(error) };
    }
  }

  async #start(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#checks[name]?.(signal);
    } finally {
      this.#running.delete(name);
    }
  }
}

function settleBefore(work: Promise<void>, deadline: AbortSignal, message: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDeadline = () => reject(new Error(message));
    deadline.addEventListener('abort', onDeadline, { once: true });
    work.then(resolve, reject).finally(() => deadline.removeEventListener('abort', onDeadline));
  });
}

function roundMs(ms: number): number {
  return Math.round(ms * 10) / 10;
}
