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
    },
    warmCount: 2,
    processesMax: 8,
    sqlBytesMax: 1024 ** 2,
    analyseTimeMs: 10_000,
    startTimeMs: 20_000,
  };
}

/**
 * Child processes for statements, a few of them started before they are asked for. Each serves one
 * statement and is then ended: nothing of a query is left for the next.
 */
export class EnginePool implements AsyncDisposable {
  readonly #options: EnginePoolOptions;
  readonly #warm: Promise<EngineProcess>[] = [];
  readonly #atWork = new Set<EngineProcess>();
  #acquiring = 0;
  #isClosed = false;

  constructor(options: EnginePoolOptions) {
    this.#options = options;
    this.#refill();
  }

  get atWorkCount(): number {
    return this.#atWork.size + this.#acquiring;
  }

  /**
   * Takes a process; the caller ends it with {@link EnginePool.release}.
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
      this.#atWork.add(engine);
      if (signal?.aborted === true || this.#isClosed) {
        await this.release(engine);
        throw new EngineError('query.cancelled', 'the query was given up', {
          cause: signal?.reason,
        });
      }
      signal?.addEventListener('abort', () => void engine.kill(), { once: true });
      return engine;
    } finally {
      this.#acquiring -= 1;
    }
  }

  /** Ends a process that was acquired, whatever it is doing. */
  async release(engine: EngineProcess): Promise<void> {
    await engine.kill();
    this.#atWork.delete(engine);
    this.#refill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const warm = await Promise.allSettled(this.#warm.splice(0));
    const started = warm.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    await Promise.all([...started, ...this.#atWork].map((engine) => engine.kill()));
    await rm(this.#options.settings.tempDir, { recursive: true, force: true });
  }

  /** A warm process may have died while it waited; one started for the occasion says why it did. */
  async #takeLive(): Promise<EngineProcess> {
    for (;;) {
      const next = this.#warm.shift();
      // A process that starts takes the processor from the statement that runs: as long as another waits,
      // the place is filled when the statement has ended.
      if (this.#warm.length === 0) this.#refill();
      if (next === undefined) return await this.#start();
      const engine = await next.catch(() => undefined);
      if (engine?.isAlive === true) return engine;
      if (this.#isClosed)
        throw new EngineError('query.busy', 'the service ends', { retryable: true });
      return await this.#start();
    }
  }

  #refill(): void {
    while (!this.#isClosed && this.#warm.length < this.#options.warmCount) {
      const starting = this.#start();
      // Met by whoever takes it.
      starting.catch(() => undefined);
      this.#warm.push(starting);
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
