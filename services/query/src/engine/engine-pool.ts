import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError } from './engine-error.ts';
import { EngineProcess } from './engine-process.ts';
import type { EngineSettings } from './protocol.ts';

export interface EnginePoolOptions {
  readonly settings: EngineSettings;
  /** Processes that wait, loaded, for a statement. */
  readonly warmCount: number;
  /** Processes at work at most. */
  readonly processesMax: number;
  /** UTF-8 bytes of a statement. */
  readonly sqlBytesMax: number;
  readonly analyseTimeMs: number;
  readonly startTimeMs: number;
  /** How long a process that has served waits for another statement before it gives its memory back. */
  readonly keptTimeMs: number;
}

/** The limits that a service of ordinary size starts from. `tempDir` must be the pool's own. */
export function defaultEngineOptions(tempDir: string): EnginePoolOptions {
  return {
    settings: {
      memoryBytes: 1024 ** 3,
      threads: 2,
      tempDir,
      tempBytesMax: 10 * 1024 ** 3,
      processBytesMax: 2 * 1024 ** 3,
      expressionDepthMax: 500,
      statementsMax: 8,
      keptBytesMax: 640 * 1024 ** 2,
    },
    warmCount: 2,
    processesMax: 8,
    sqlBytesMax: 1024 ** 2,
    analyseTimeMs: 10_000,
    startTimeMs: 20_000,
    keptTimeMs: 30_000,
  };
}

/**
 * Child processes for statements, a few of them started before they are asked for. Each serves one statement at
 * a time. One whose statement came to its own end serves another, while its memory is still in place; every
 * other is ended with its statement.
 */
export class EnginePool implements AsyncDisposable {
  readonly #options: EnginePoolOptions;
  /** Have served nobody. */
  readonly #fresh: Promise<EngineProcess>[] = [];
  /** Have served; the last to come back is the first to be taken. */
  readonly #kept: KeptProcess[] = [];
  readonly #resetting = new Set<EngineProcess>();
  readonly #atWork = new Map<EngineProcess, Lease>();
  #acquiring = 0;
  #isClosed = false;

  constructor(options: EnginePoolOptions) {
    this.#options = options;
    this.#refill();
  }

  get atWorkCount(): number {
    return this.#atWork.size + this.#acquiring;
  }

  /** Processes between two statements. */
  get resettingCount(): number {
    return this.#resetting.size;
  }

  /**
   * Takes a process; the caller gives it back with {@link EnginePool.release}. Until then the signal ends it.
   *
   * Errors: `query.busy` (retryable) when all that may work do, `query.cancelled` by the signal,
   * `query.engine-died` when none can be started.
   */
  async acquire(signal?: AbortSignal): Promise<EngineProcess> {
    if (this.#isClosed || this.atWorkCount >= this.#options.processesMax) {
      throw new EngineError('query.busy', 'all query processes are at work', { retryable: true });
    }
    this.#acquiring += 1;
    try {
      const engine = await this.#takeLive();
      this.#atWork.set(engine, new Lease(engine, signal));
      if (signal?.aborted === true || this.#isClosed) {
        await this.release(engine);
        throw new EngineError('query.cancelled', 'the query was given up', {
          cause: signal?.reason,
        });
      }
      return engine;
    } finally {
      this.#acquiring -= 1;
    }
  }

  /** Takes back what was acquired: ends it, whatever it is doing, unless its statement came to its own end. */
  async release(engine: EngineProcess): Promise<void> {
    const lease = this.#atWork.get(engine);
    if (lease === undefined) return;
    lease.end();
    if (engine.isReusable && !this.#isClosed) {
      this.#resetting.add(engine);
      void this.#reset(engine);
    } else await engine.kill();
    this.#atWork.delete(engine);
    this.#refill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const fresh = await Promise.allSettled(this.#fresh.splice(0));
    const started = fresh.flatMap((result) =>
      result.status === 'fulfilled' ? [result.value] : [],
    );
    const kept = this.#kept.splice(0).map((one) => one.take());
    const all = [...started, ...kept, ...this.#resetting, ...this.#atWork.keys()];
    await Promise.all(all.map((engine) => engine.kill()));
    await rm(this.#options.settings.tempDir, { recursive: true, force: true });
  }

  async #takeLive(): Promise<EngineProcess> {
    for (let kept = this.#kept.pop(); kept !== undefined; kept = this.#kept.pop()) {
      const engine = kept.take();
      if (engine.isAlive) return engine;
    }
    const next = this.#fresh.shift();
    // A process that starts takes the processor from the statement that runs: as long as another waits,
    // the place is filled when the statement has ended.
    if (this.#fresh.length === 0) this.#refill();
    // A warm process may have died while it waited; one started for the occasion says why it did.
    const engine = await next?.catch(() => undefined);
    if (engine?.isAlive === true) return engine;
    if (this.#isClosed)
      throw new EngineError('query.busy', 'the service ends', { retryable: true });
    return await this.#start();
  }

  /** Keeps the process for another statement, or ends it when it cannot serve one. */
  async #reset(engine: EngineProcess): Promise<void> {
    const isReady = await engine.reset().then(
      () => true,
      () => false,
    );
    if (isReady && !this.#isClosed) {
      const onExpired = () => void this.#expire(kept);
      const kept = new KeptProcess(engine, this.#options.keptTimeMs, onExpired);
      this.#kept.push(kept);
    } else await engine.kill();
    this.#resetting.delete(engine);
    this.#refill();
  }

  async #expire(kept: KeptProcess): Promise<void> {
    this.#kept.splice(this.#kept.indexOf(kept), 1);
    await kept.take().kill();
    this.#refill();
  }

  #refill(): void {
    const { warmCount } = this.#options;
    const used = () => this.#kept.length + this.#resetting.size;
    while (!this.#isClosed && this.#fresh.length + used() < warmCount) {
      const starting = this.#start();
      // Met by whoever takes it.
      starting.catch(() => undefined);
      this.#fresh.push(starting);
    }
  }

  #start(): Promise<EngineProcess> {
    const { settings, sqlBytesMax, analyseTimeMs, startTimeMs } = this.#options;
    const tempDir = join(settings.tempDir, randomUUID());
    return EngineProcess.start({
      settings: { ...settings, tempDir },
      sqlBytesMax,
      analyseTimeMs,
      startTimeMs,
      codeDir: join(settings.tempDir, 'code'),
    });
  }
}

/** What ends a process at work from outside: only as long as it works for whoever the signal is of. */
class Lease {
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;

  constructor(engine: EngineProcess, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#onAbort = () => void engine.kill();
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  end(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}

/** A process that has served and waits for another statement, for a while. */
class KeptProcess {
  readonly #engine: EngineProcess;
  readonly #timer: NodeJS.Timeout;

  constructor(engine: EngineProcess, timeMs: number, onExpired: () => void) {
    this.#engine = engine;
    this.#timer = setTimeout(onExpired, timeMs).unref();
  }

  take(): EngineProcess {
    clearTimeout(this.#timer);
    return this.#engine;
  }
}
