/**
 * Scenario: a service runs as a process and is told to stop, fails to start, or has a bug.
 * Guarantees: the exit codes of run-service.ts; requests under way are answered; every end is logged.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../test/scripted-service.ts', import.meta.url));
const dependencies = {
  TRACELAKE_DATABASE_URL: 'postgres://lake:hunter2@127.0.0.1/lake',
  TRACELAKE_NATS_URL: 'nats://127.0.0.1:4222',
  TRACELAKE_OBJECT_STORE_URL: 'file:///tmp/objects',
};

interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

class ServiceProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: LogLine[] = [];
  readonly #exited: Promise<number | null>;
  #wake = () => {};
  stderr = '';

  constructor(script: string, env: Record<string, string>) {
    this.#child = spawn(process.execPath, [program], {
      env: { ...dependencies, SCRIPT: script, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#exited = once(this.#child, 'close').then(([code]) => code as number | null);
    const { stdout, stderr } = this.#child;
    assert.ok(stdout && stderr);
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    createInterface(stdout).on('line', (line) => {
      this.#lines.push(JSON.parse(line) as LogLine);
      this.#wake();
    });
  }

  async line(message: string): Promise<LogLine> {
    const deadline = AbortSignal.timeout(20_000);
    for (;;) {
      const found = this.#lines.find((line) => line.msg === message);
      if (found !== undefined) return found;
      if (deadline.aborted) throw new Error(`no "${message}" in ${JSON.stringify(this.#lines)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, 500).unref();
      });
    }
  }

  async url(): Promise<string> {
    return String((await this.line('service started')).url);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  exitCode(): Promise<number | null> {
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

function start(script: string, env: Record<string, string> = {}): ServiceProcess {
  return new ServiceProcess(script, env);
}

test('a signal drains: the request under way is answered whole and the exit code is 0', async () => {
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    await using service = start('serve');
    const url = await service.url();
    const slow = fetch(`${url}/slow`);
    await service.line('slow request entered');
    service.signal(name);
    // The terminal and a supervisor pass on the same Ctrl-C: that is still one stop.
    service.signal(name);
    assert.equal(await (await slow).text(), 'whole');
    assert.equal(await service.exitCode(), 0);
    await service.line('service stopped');
  }
});

test('draining that overruns its grace ends with 1 and says what was left', async () => {
  await using service = start('overrun', { TRACELAKE_SHUTDOWN_GRACE_S: '0.3' });
  const slow = fetch(`${await service.url()}/slow`).catch((error: unknown) => error);
  await service.line('slow request entered');
  service.signal('SIGTERM');
  assert.equal(await service.exitCode(), 1);
  assert.equal((await service.line('draining overran its grace')).requestsInFlight, 1);
  assert.ok((await slow) instanceof Error);
});

test('a second signal ends a drain at once', async () => {
  await using service = start('overrun');
  const slow = fetch(`${await service.url()}/slow`).catch((error: unknown) => error);
  await service.line('slow request entered');
  service.signal('SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 1300));
  service.signal('SIGTERM');
  assert.equal(await service.exitCode(), 128 + 15);
  await slow;
});

test('bad variables end the start with 2, all of them named, no secret shown', async () => {
  await using service = start('serve', {
    TRACELAKE_LANES: 'x',
    TRACELAKE_DATABASE_URL: 'hunter2@nowhere',
  });
  assert.equal(await service.exitCode(), 2);
  const line = await service.line('configuration refused');
  assert.match(JSON.stringify(line), /TRACELAKE_DATABASE_URL.*TRACELAKE_LANES/);
  assert.match(service.stderr, /TRACELAKE_DATABASE_URL[\s\S]*TRACELAKE_LANES/);
  assert.doesNotMatch(service.stderr + JSON.stringify(line), /hunter2/);
});

test('the configuration is logged at the start with its secrets redacted', async () => {
  await using service = start('serve', { TRACELAKE_API_KEYS: 'ci:topsecret' });
  const line = JSON.stringify(await service.line('service starting'));
  assert.match(line, /"bind":"127.0.0.1"/);
  assert.doesNotMatch(line, /hunter2|topsecret/);
});

test('a start that fails ends with 1, one that is told to stop with 0', async () => {
  await using failing = start('fail-start');
  assert.equal(await failing.exitCode(), 1);
  assert.match(JSON.stringify(await failing.line('service cannot start')), /no dependency/);
  await using hanging = start('hang-start');
  await hanging.line('service starting');
  hanging.signal('SIGTERM');
  assert.equal(await hanging.exitCode(), 0);
});

test('an unhandled rejection is a crash with a log line', async () => {
  await using service = start('serve');
  await fetch(`${await service.url()}/reject`).catch((error: unknown) => error);
  assert.equal(await service.exitCode(), 1);
  assert.match(JSON.stringify(await service.line('service crashed')), /nobody caught me/);
});
