/**
 * The DuckDB instances of one process, each for one statement. All are opened before the process reads the
 * first, and none is ended while it lives: DuckDB gives the process's free memory back to the system whenever an
 * instance begins or ends, and memory that the next statement finds in place is what keeping a process is for.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureExists } from '@tracelake/domain';
import { EngineSession, WARM_UP_SQL } from './engine-session.ts';
import type { EngineSettings } from './protocol.ts';

export class SessionStock {
  readonly #settings: EngineSettings;
  readonly #sessions: readonly EngineSession[];
  #at = 0;

  private constructor(settings: EngineSettings, sessions: readonly EngineSession[]) {
    this.#settings = settings;
    this.#sessions = sessions;
  }

  static async open(settings: EngineSettings): Promise<SessionStock> {
    const sessions: EngineSession[] = [];
    for (let index = 0; index < settings.statementsMax; index++) {
      const session = await EngineSession.open({
        ...settings,
        tempDir: tempDirOf(settings, index),
      });
      await session.analyse(WARM_UP_SQL);
      sessions.push(session);
    }
    return new SessionStock(settings, sessions);
  }

  /** That of the statement at work. */
  get current(): EngineSession {
    return ensureExists(this.#sessions[this.#at], 'instance that has served nobody');
  }

  /** Leaves the instance of a statement that has ended; false when the process is to end with it. */
  async advance(): Promise<boolean> {
    if (this.#at + 1 >= this.#sessions.length) return false;
    this.current.close();
    await rm(tempDirOf(this.#settings, this.#at), { recursive: true, force: true });
    // What the answer was read from is freed with its handles, which are young.
    globalThis.gc?.({ type: 'minor' });
    this.#at += 1;
    return process.memoryUsage.rss() <= this.#settings.keptBytesMax;
  }
}

function tempDirOf({ tempDir }: EngineSettings, index: number): string {
  return join(tempDir, String(index));
}
