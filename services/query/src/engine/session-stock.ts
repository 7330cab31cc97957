/**
 * The DuckDB instances of one process, each for one statement. Those after the first are opened together, once a
 * statement has shown that the process is of use, and none is ended while it lives: DuckDB gives the process's free
 * memory back to the system whenever an instance begins or ends, and memory that the next statement finds in place is
 * what keeping a process is for.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureExists } from '@tracelake/domain';
import { warmUpEncoders } from './encoder-warm-up.ts';
import { EngineSession } from './engine-session.ts';
import type { EngineSettings } from './protocol.ts';

export class SessionStock {
  readonly #settings: EngineSettings;
  readonly #sessions: EngineSession[] = [];
  #at = 0;

  private constructor(settings: EngineSettings) {
    this.#settings = settings;
  }

  static async open(settings: EngineSettings): Promise<SessionStock> {
    const stock = new SessionStock(settings);
    await stock.#openUpTo(1);
    return stock;
  }

  /** That of the statement at work. */
  get current(): EngineSession {
    return ensureExists(this.#sessions[this.#at], 'instance that has served nobody');
  }

  /** Leaves the instance of a statement that has ended; false when the process is to end with it. */
  async advance(): Promise<boolean> {
    const { statementsMax, keptBytesMax } = this.#settings;
    if (this.#at + 1 >= statementsMax) return false;
    this.current.close();
    await rm(tempDirOf(this.#settings, this.#at), { recursive: true, force: true });
    // What the answer was read from is freed with its handles, which are young.
    globalThis.gc?.({ type: 'minor' });
    if (this.#at === 0) await warmUpEncoders();
    await this.#openUpTo(statementsMax);
    this.#at += 1;
    return process.memoryUsage.rss() <= keptBytesMax;
  }

  async #openUpTo(count: number): Promise<void> {
    while (this.#sessions.length < count) {
      const tempDir = tempDirOf(this.#settings, this.#sessions.length);
      this.#sessions.push(await EngineSession.open({ ...this.#settings, tempDir }));
    }
  }
}

function tempDirOf({ tempDir }: EngineSettings, index: number): string {
  return join(tempDir, String(index));
}
