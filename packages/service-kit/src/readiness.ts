import { errorMessage } from '@tracelake/domain';

/** Answers or throws; the signal fires when nobody waits any more. */
export type ReadinessCheck = (signal: AbortSignal) => Promise<void>;

export interface CheckReport {
  readonly status: 'ok' | 'failed';
  readonly durationMs: number;
  readonly error?: string;
}

export interface ReadinessReport {
  readonly status: 'ready' | 'not-ready' | 'draining';
  /** Names of the checks that failed. */
  readonly failing: readonly string[];
  readonly checks: Readonly<Record<string, CheckReport>>;
}

export interface ReadinessOptions {
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  /** How long one check may take before it counts as failed. */
  readonly checkTimeoutMs: number;
}

/**
 * Whether a service can take work. Callers that come while a check runs share its result, and a check
 * that hangs is not started again before it ends: probes never pile up on a sick dependency.
 */
export class Readiness {
  readonly #options: ReadinessOptions;
  readonly #running = new Map<string, Promise<void>>();
  #isDraining = false;
  #report: Promise<ReadinessReport> | undefined;

  constructor(options: ReadinessOptions) {
    this.#options = options;
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
    const names = Object.keys(this.#options.checks);
    const reports = await Promise.all(names.map((name) => this.#checkOne(name)));
    const checks = Object.fromEntries(names.map((name, index) => [name, reports[index]]));
    const failing = names.filter((_, index) => reports[index]?.status === 'failed');
    const status = this.#isDraining ? 'draining' : failing.length === 0 ? 'ready' : 'not-ready';
    return { status, failing, checks: checks as Record<string, CheckReport> };
  }

  async #checkOne(name: string): Promise<CheckReport> {
    const startedMs = performance.now();
    const timeoutMs = this.#options.checkTimeoutMs;
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
      await this.#options.checks[name]?.(signal);
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
