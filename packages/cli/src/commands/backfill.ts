import { setTimeout as delay } from 'node:timers/promises';
import { parseProcessId } from '@tracelake/domain';
import { CliError, exitStatus, usageError } from '../cli-error.ts';
import { workBounded } from '../client/bounded-work.ts';
import { postPatiently } from '../client/patient-post.ts';
import { type Connection, readConnection } from '../client/service-endpoints.ts';
import { getView, listInstances, type ViewInstance } from '../client/view-instances.ts';
import {
  type Command,
  type CommandArguments,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import { formatDuration } from '../output/quantity.ts';
import { StatusLine } from '../output/status-line.ts';
import { readRangeArguments } from '../output/time-argument.ts';

const help = `Usage: tracelake backfill VIEW [--begin TIME] [--end TIME] [--process ID] [--concurrency N]

Brings a view up to date for all processes, or those of a range: every instance that has
blocks is given to the materializer, which builds what is missing and leaves the rest.
Views build themselves when somebody asks; this is for having them built before, as after
an upgrade that changed a view, or a long outage. Interrupted or failed, run it again: what
is built answers "current" at once.

  --begin TIME       only instances with blocks in the range, each of them whole; RFC 3339,
  --end TIME         or a time ago: 30s, 15m, 1h, 2d. Default: everything
  --process ID       only this process
  --concurrency N    instances asked for at once (default 2); the service's CPU tokens bound
                     what is built at once in any case
  --patience S       how long a materializer that is away or overloaded is waited for
                     (default 60)
  --json             the summary for programs: {"view", "instances", "built", "current",
                     "rejected_blocks", "failed"}
${connectionHelp}

Exit status: 0 every instance is up to date, 1 some failed (named with their reasons) or the
services are away, 2 bad command line, 130 interrupted.

Examples:
  tracelake backfill thread_spans --begin 1d
  tracelake backfill async_events --process 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f
  tracelake backfill log_entries --concurrency 8 --json
`;

const retryDelayMaxMs = 5000;

export const backfillCommand: Command = {
  name: 'backfill',
  summary: 'build the partitions of a view for all processes of a range',
  help,
  options: {
    ...connectionOptions,
    begin: { type: 'string' },
    end: { type: 'string' },
    process: { type: 'string' },
    concurrency: { type: 'string' },
    patience: { type: 'string' },
    json: { type: 'boolean' },
  },
  async run(args, context) {
    const [name] = args.exactly('VIEW');
    const view = getView(name);
    const concurrency = args.integer('concurrency', { min: 1, max: 64 }) ?? 2;
    const patienceMs = (args.integer('patience', { min: 0, max: 86_400 }) ?? 60) * 1000;
    const range = readRangeArguments(args);
    const processId = readProcess(args);
    const connection = readConnection(args, context.env);
    const instances = await listInstances(connection, { view, processId, ...range }, context);
    const backfill = new Backfill(view.name, instances.length, connection, patienceMs);
    const status = new StatusLine({ stream: context.stderr });
    try {
      const work = async (instance: ViewInstance, signal: AbortSignal) => {
        await backfill.bringUpToDate(instance, signal);
        status.update(() => backfill.describe());
      };
      await workBounded(instances, concurrency, work, context.signal);
    } finally {
      status.end();
      backfill.report(args.flag('json'), context);
    }
    return backfill.hasFailed ? exitStatus.failed : exitStatus.ok;
  },
};

function readProcess(args: CommandArguments): string | undefined {
  const text = args.text('process');
  if (text === undefined) return undefined;
  const processId = parseProcessId(text);
  if (processId === undefined) throw usageError(`--process must be a process id, not "${text}"`);
  return processId;
}

interface Failure extends ViewInstance {
  readonly reason: string;
}

/** Failures printed one by one; `--json` has all of them. */
const shownFailuresMax = 20;

class Backfill {
  readonly #view: string;
  readonly #instanceCount: number;
  readonly #connection: Connection;
  readonly #patienceMs: number;
  readonly #startMs = performance.now();
  #built = 0;
  #current = 0;
  #rejectedBlocks = 0;
  readonly #failed: Failure[] = [];

  constructor(view: string, instanceCount: number, connection: Connection, patienceMs: number) {
    this.#view = view;
    this.#instanceCount = instanceCount;
    this.#connection = connection;
    this.#patienceMs = patienceMs;
  }

  get hasFailed(): boolean {
    return this.#failed.length > 0;
  }

  /** Throws only what the next instance would meet too: no materializer, an interruption. */
  async bringUpToDate(instance: ViewInstance, signal: AbortSignal): Promise<void> {
    try {
      const receipt = receiptOf(await this.#materialize(instance.instance, signal));
      if (receipt.decision === 'current') this.#current++;
      else this.#built++;
      this.#rejectedBlocks += receipt.rejectedBlocks;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof CliError) || error.code === 'cli.unreachable') throw error;
      this.#failed.push({ ...instance, reason: error.message });
    }
  }

  describe(): string {
    const { length: failed } = this.#failed;
    const done = this.#built + this.#current + failed;
    return (
      `${this.#view}: ${done} of ${this.#instanceCount} instances; ` +
      `${this.#built} built, ${this.#current} current, ${failed} failed`
    );
  }

  report(isJson: boolean, { stdout, stderr }: CommandContext): void {
    for (const { instance, reason } of this.#failed.slice(0, shownFailuresMax)) {
      stderr.write(`${instance} failed: ${reason}\n`);
    }
    const unshown = this.#failed.length - shownFailuresMax;
    if (unshown > 0) stderr.write(`and ${unshown} more; --json has all of them\n`);
    if (this.#rejectedBlocks > 0) {
      stderr.write(
        `${this.#rejectedBlocks} block(s) could not be decoded and are not in the view; ` +
          'SELECT * FROM rejected_blocks has their reasons\n',
      );
    }
    if (isJson) stdout.write(`${JSON.stringify(this.#summary(), undefined, 2)}\n`);
    else {
      const took = formatDuration(performance.now() - this.#startMs);
      stdout.write(`${this.describe()} (${took})\n`);
    }
  }

  #summary() {
    return {
      view: this.#view,
      instances: this.#instanceCount,
      built: this.#built,
      current: this.#current,
      rejected_blocks: this.#rejectedBlocks,
      failed: this.#failed.map(({ instance, processId, reason }) => ({
        instance,
        process_id: processId,
        reason,
      })),
    };
  }

  async #materialize(instance: string, signal: AbortSignal): Promise<unknown> {
    // A build may have taken long before the service went away: patience begins there.
    let deadlineMs: number | undefined;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await postPatiently(this.#connection, {
          service: 'materializer',
          path: `/v1/materialize/${this.#view}/${instance}`,
          signal,
        });
      } catch (error) {
        const pauseMs = Math.min(200 * 2 ** attempt, retryDelayMaxMs);
        deadlineMs ??= Date.now() + this.#patienceMs;
        const mayRetry = error instanceof CliError && error.retryable;
        if (!mayRetry || Date.now() + pauseMs > deadlineMs) throw error;
        await delay(pauseMs, undefined, { signal });
      }
    }
  }
}

function receiptOf(answer: unknown): { decision: string; rejectedBlocks: number } {
  const { decision, rejected } = (answer ?? {}) as { decision?: unknown; rejected?: unknown };
  if (typeof decision !== 'string') {
    throw new CliError('cli.bad-answer', 'the materializer answered without a decision');
  }
  return { decision, rejectedBlocks: Array.isArray(rejected) ? rejected.length : 0 };
}
