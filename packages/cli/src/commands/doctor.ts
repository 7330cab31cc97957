import { existsSync } from 'node:fs';
import path from 'node:path';
import { exitStatus } from '../cli-error.ts';
import { networkReason } from '../client/http-call.ts';
import { type Connection, readConnection, type ServiceName } from '../client/service-endpoints.ts';
import {
  type Command,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import { findDockerProblem } from '../doctor/docker-check.ts';
import { findStackHolder } from '../stack/data-dir-lock.ts';
import { cloneDir } from '../stack/stack-settings.ts';

const help = `Usage: tracelake doctor

Looks at what usually goes wrong and says what to do: this machine's Node and set-up,
the stack of this clone, each service and the dependency that keeps it from being
ready, and Docker, which only the end-to-end tests need.

${connectionHelp}

Exit status: 0 nothing is wrong, 1 something is (notes do not count).

Examples:
  tracelake doctor
  tracelake doctor --url http://lake.example
`;

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'find out what is wrong and what to do',
  help,
  options: connectionOptions,
  async run(args, context) {
    args.exactly();
    const connection = readConnection(args, context.env);
    const findings = [
      ...checkMachine(),
      await checkOwnStack(context),
      ...(await Promise.all(
        (Object.keys(connection.urls) as ServiceName[]).map((service) =>
          checkService(connection, service, context.signal),
        ),
      )),
      await checkDocker(context),
    ];
    for (const { verdict, text } of findings) context.stdout.write(`${marks[verdict]} ${text}\n`);
    const isWell = findings.every(({ verdict }) => verdict !== 'wrong');
    context.stdout.write(isWell ? '\nNothing is wrong.\n' : '\nSee the lines marked "wrong".\n');
    return isWell ? exitStatus.ok : exitStatus.failed;
  },
};

interface Finding {
  readonly verdict: 'well' | 'note' | 'wrong';
  readonly text: string;
}

const marks = { well: 'ok   ', note: 'note ', wrong: 'wrong' } as const;

function checkMachine(): Finding[] {
  const hasTools = existsSync(path.join(cloneDir, 'node_modules/@tracelake/cli'));
  return [
    {
      verdict: 'well',
      text: `Node ${process.versions.node}, the pinned one, on ${process.platform}`,
    },
    hasTools
      ? { verdict: 'well', text: `set-up of ${cloneDir} is done` }
      : { verdict: 'wrong', text: `set-up of ${cloneDir} is not whole: run "npm run setup"` },
  ];
}

async function checkOwnStack(context: CommandContext): Promise<Finding> {
  const dataDir = path.resolve(
    context.cwd,
    context.env.TRACELAKE_DATA_DIR ?? path.join(cloneDir, '.tracelake'),
  );
  const holder = await findStackHolder(dataDir);
  return holder === undefined
    ? { verdict: 'note', text: `no stack runs on ${dataDir}; "npm start" starts one` }
    : { verdict: 'well', text: `a stack runs on ${dataDir} (process ${holder})` };
}

async function checkService(
  { urls }: Connection,
  service: ServiceName,
  signal: AbortSignal,
): Promise<Finding> {
  const url = urls[service];
  try {
    const response = await fetch(`${url}/readyz`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
    });
    const text = await response.text();
    const failing = failingChecks(text);
    if (response.ok && failing === '')
      return { verdict: 'well', text: `${service} at ${url} is ready` };
    if (response.ok) {
      return { verdict: 'note', text: `${service} at ${url} works, but without ${failing}` };
    }
    const reason = failing === '' ? `status ${response.status}, ${text.slice(0, 300)}` : failing;
    return { verdict: 'wrong', text: `${service} at ${url} is not ready: ${reason}` };
  } catch (error) {
    signal.throwIfAborted();
    const advice = 'start the stack with "npm start", or name another with --url';
    return {
      verdict: 'wrong',
      text: `${service} does not answer at ${url} (${networkReason(error)}); ${advice}`,
    };
  }
}

interface ReadinessAnswer {
  readonly failing?: readonly string[];
  readonly checks?: Readonly<Record<string, { readonly error?: string }>>;
}

/** The failing dependencies by name with their reasons; empty for an answer that is not one of ours. */
function failingChecks(text: string): string {
  try {
    const { failing = [], checks = {} } = JSON.parse(text) as ReadinessAnswer;
    return failing.map((name) => `${name} (${checks[name]?.error ?? 'failed'})`).join(', ');
  } catch {
    return '';
  }
}

async function checkDocker(context: CommandContext): Promise<Finding> {
  const problem = await findDockerProblem(context.env, context.signal);
  return problem === undefined
    ? { verdict: 'well', text: 'a Docker engine answers (for the end-to-end tests)' }
    : { verdict: 'note', text: `the end-to-end tests need Docker: ${problem}` };
}
