/** Clients that write without a pause to replicas that come and go, as behind a Kubernetes Service. */

import { setTimeout as sleep } from 'node:timers/promises';
import { loadFixture } from '@tracelake/test-kit';
import type { TelemetryRequest } from './client.ts';
import { copyProcess, type ProcessCopy } from './fixture-copy.ts';

/** The replicas that take requests now. */
export class ReplicaSet {
  readonly #urls: string[] = [];
  #next = 0;

  add(url: string): void {
    this.#urls.push(url);
  }

  /** New requests go elsewhere from now on; the replica may end once those under way have. */
  async remove(url: string): Promise<void> {
    this.#urls.splice(this.#urls.indexOf(url), 1);
    // As a pod waits in its preStop hook: whoever chose it a moment ago still reaches it.
    await sleep(300);
  }

  pick(): string {
    const url = this.#urls[this.#next++ % this.#urls.length];
    if (url === undefined) throw new Error('no replica is left');
    return url;
  }
}

export interface LoadReport {
  /** Processes of which every request was acknowledged. */
  readonly written: readonly ProcessCopy[];
  readonly acknowledged: number;
  /** Requests that were answered with anything but 200, or not at all. */
  readonly failures: readonly string[];
}

/** Writes copies of a recording, request by request with no retry, until stopped. */
export class WriteLoad {
  readonly #replicas: ReplicaSet;
  readonly #writers: Promise<void>[];
  readonly #written: ProcessCopy[] = [];
  readonly #failures: string[] = [];
  #acknowledged = 0;
  #isStopped = false;

  constructor(
    replicas: ReplicaSet,
    options: { readonly writers: number; readonly pauseMs: number },
  ) {
    this.#replicas = replicas;
    const { writers, pauseMs } = options;
    this.#writers = Array.from({ length: writers }, () => this.#writeAll(pauseMs));
  }

  get processCount(): number {
    return this.#written.length;
  }

  async stop(): Promise<LoadReport> {
    this.#isStopped = true;
    await Promise.all(this.#writers);
    return {
      written: this.#written,
      acknowledged: this.#acknowledged,
      failures: this.#failures,
    };
  }

  async #writeAll(pauseMs: number): Promise<void> {
    const fixture = loadFixture('small');
    while (!this.#isStopped) {
      const copy = copyProcess(fixture);
      let isWhole = true;
      for (const request of copy.requests) isWhole = (await this.#post(request)) && isWhole;
      if (isWhole) this.#written.push(copy);
      await sleep(pauseMs);
    }
  }

  async #post({ path, body }: TelemetryRequest): Promise<boolean> {
    const url = this.#replicas.pick();
    try {
      const response = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body: Buffer.from(body),
        signal: AbortSignal.timeout(30_000),
      });
      if (response.ok) {
        this.#acknowledged += 1;
        return true;
      }
      this.#failures.push(`${path}: ${response.status} ${await response.text()}`);
    } catch (error) {
      this.#failures.push(`${path}: ${error instanceof Error ? error.message : error}`);
    }
    return false;
  }
}
