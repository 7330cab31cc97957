/** A real Prometheus that scrapes services and evaluates rules each second. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort } from './free-port.ts';

export interface PrometheusOptions {
  readonly command: string;
  /** Text of a rules file. */
  readonly rules: string;
  /** Base URLs by job. */
  readonly targets: Readonly<Record<string, string>>;
}

export interface PrometheusServer extends AsyncDisposable {
  /** Names of the alerts that fire now. */
  firing(): Promise<ReadonlySet<string>>;
  /** How many series an expression gives now. */
  seriesCount(expression: string): Promise<number>;
}

const LOG_TAIL_CHARS = 20_000;

/** Resolves when it answers. */
export async function startPrometheus(options: PrometheusOptions): Promise<PrometheusServer> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'tracelake-prometheus-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [join(directory, 'rules.yaml')],
    scrape_configs: Object.entries(options.targets).map(([job, url]) => ({
      job_name: job,
      static_configs: [{ targets: [new URL(url).host] }],
    })),
  };
  await writeFile(join(directory, 'rules.yaml'), options.rules);
  await writeFile(join(directory, 'config.yaml'), stringify(config));
  const url = `http://127.0.0.1:${await freePort()}`;
  const child = spawn(
    options.command,
    [
      `--config.file=${join(directory, 'config.yaml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=${new URL(url).host}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = once(child, 'exit');
  stack.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await untilReady(url, child);
  const owned = stack.move();
  const ask = async (expression: string) => {
    const query = new URLSearchParams({ query: expression });
    const response = await fetch(`${url}/api/v1/query?${query}`);
    const answer = (await response.json()) as Answer;
    if (answer.data === undefined) throw new Error(`${expression}: ${JSON.stringify(answer)}`);
    return answer.data.result;
  };
  return {
    async firing() {
      const series = await ask('ALERTS{alertstate="firing"}');
      return new Set(series.map(({ metric }) => metric.alertname ?? ''));
    },
    seriesCount: async (expression) => (await ask(expression)).length,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Answer {
  readonly data?: { readonly result: readonly { readonly metric: Record<string, string> }[] };
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-LOG_TAIL_CHARS);
  });
  const deadline = Date.now() + 30_000;
  for (;;) {
    const isReady = await fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    if (child.exitCode !== null || Date.now() > deadline) {
      throw new Error(`Prometheus did not start\n${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
