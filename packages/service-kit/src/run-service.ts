/**
 * The one lifecycle of all services: environment, log, start, signals, drain, exit code.
 *
 * Exit codes: 0 after a clean stop, 1 when the start failed, something crashed or draining overran its
 * grace, 2 for a bad configuration, 128 + signal number when a second signal forces the end.
 */
import { constants } from 'node:os';
import { processEnvironment } from './config.ts';
import { ConfigError, type ConfigIssue } from './config-error.ts';
import { EnvReader } from './env-reader.ts';
import { createLogger, type Logger, logLevels } from './logger.ts';
import { createMetrics, type Metrics } from './metrics.ts';

/** What a service hands back once it has started. Disposing it drains and closes everything. */
export interface RunningService extends AsyncDisposable {
  /** Base URL it listens on. */
  readonly url: string;
  /** Turns readiness off at the first signal, before the drain begins. */
  beginDrain?(): void;
  /** What is still under way, for the log when draining overruns its grace. */
  describeRemaining?(): Readonly<Record<string, unknown>>;
}

export interface ServiceContext {
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Fires at the first signal: a start that still waits for something gives up. */
  readonly signal: AbortSignal;
}

export interface RunServiceOptions<Config extends { readonly shutdownGraceS: number }> {
  readonly name: string;
  /** Reads the settings; runService ends the reading and reports every bad variable. */
  readonly readConfig: (env: EnvReader) => Config;
  readonly createService: (config: Config, context: ServiceContext) => Promise<RunningService>;
}

/** A supervisor and the terminal both pass Ctrl-C on: two signals this close together are one. */
const SIGNAL_REPEAT_MS = 1000;

/** Runs a service until a signal ends the process. Never throws: failures become exit codes. */
export async function runService<Config extends { readonly shutdownGraceS: number }>(
  options: RunServiceOptions<Config>,
): Promise<void> {
  const settings = readSettings(options);
  if (settings === undefined) process.exit(2);
  const { config, logger } = settings;
  const metrics = createMetrics({ service: options.name });
  metrics.collectProcessMetrics();
  const run = new ServiceRun(logger, config.shutdownGraceS * 1000);
  run.watchProcess();
  logger.info('service starting', { config, nodeVersion: process.version, pid: process.pid });
  try {
    const service = await options.createService(config, { logger, metrics, signal: run.signal });
    logger.info('service started', { url: service.url });
    run.adopt(service);
  } catch (error) {
    if (run.signal.aborted) {
      logger.info('service stopped before it had started');
      process.exit(0);
    }
    logger.error('service cannot start', { error });
    process.exit(1);
  }
}

interface Settings<Config> {
  readonly config: Config;
  readonly logger: Logger;
}

function readSettings<Config extends { readonly shutdownGraceS: number }>(
  options: RunServiceOptions<Config>,
): Settings<Config> | undefined {
  const env = new EnvReader(processEnvironment());
  const level = env.oneOf('TRACELAKE_LOG_LEVEL', logLevels, { default: 'info' });
  const logger = createLogger({ service: options.name, level });
  try {
    const config = Object.freeze(options.readConfig(env));
    for (const { variable, problem } of env.finish()) {
      logger.warn('environment variable ignored', { variable, problem });
    }
    return { config, logger };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    logger.error('configuration refused', { issues: error.issues });
    process.stderr.write(renderIssues(options.name, error.issues));
    return undefined;
  }
}

function renderIssues(name: string, issues: readonly ConfigIssue[]): string {
  const lines = issues.map(({ variable, problem }) => `  ${variable} ${problem}\n`);
  return `${name} cannot start, its configuration is bad:\n${lines.join('')}`;
}

/** From the first signal to the exit code. */
class ServiceRun {
  readonly #logger: Logger;
  readonly #graceMs: number;
  readonly #abort = new AbortController();
  #service: RunningService | undefined;
  #firstSignalMs: number | undefined;

  constructor(logger: Logger, graceMs: number) {
    this.#logger = logger;
    this.#graceMs = graceMs;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  watchProcess(): void {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(name, () => this.#onSignal(name));
    }
    process.on('uncaughtException', (error) => this.#crash('uncaught exception', error));
    process.on('unhandledRejection', (error) => this.#crash('unhandled rejection', error));
  }

  adopt(service: RunningService): void {
    this.#service = service;
    if (this.#firstSignalMs !== undefined) void this.#drain();
  }

  #onSignal(name: 'SIGTERM' | 'SIGINT' | 'SIGHUP'): void {
    const nowMs = performance.now();
    if (this.#firstSignalMs !== undefined) {
      if (nowMs - this.#firstSignalMs < SIGNAL_REPEAT_MS) return;
      this.#logger.error('second signal ends the service at once', {
        signal: name,
        ...this.#service?.describeRemaining?.(),
      });
      process.exit(128 + constants.signals[name]);
    }
    this.#firstSignalMs = nowMs;
    this.#logger.info('service stopping', { signal: name, graceMs: this.#graceMs });
    this.#startGrace();
    this.#abort.abort(new Error(`stopped by ${name}`));
    if (this.#service !== undefined) void this.#drain();
  }

  #startGrace(): void {
    setTimeout(() => {
      this.#logger.error('draining overran its grace', {
        graceMs: this.#graceMs,
        ...this.#service?.describeRemaining?.(),
      });
      process.exit(1);
    }, this.#graceMs);
  }

  async #drain(): Promise<void> {
    const startedMs = performance.now();
    try {
      this.#service?.beginDrain?.();
      await this.#service?.[Symbol.asyncDispose]();
    } catch (error) {
      this.#logger.error('service failed while it stopped', { error });
      process.exit(1);
    }
    this.#logger.info('service stopped', { drainMs: Math.round(performance.now() - startedMs) });
    process.exit(0);
  }

  /** A bug: state can no longer be trusted, so the process ends and whoever runs it starts it anew. */
  #crash(what: string, error: unknown): void {
    this.#logger.error('service crashed', { what, error });
    process.exit(1);
  }
}
