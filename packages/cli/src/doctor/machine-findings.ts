/** What concerns a clone on this machine; in a container image there is none, and nothing to say about it. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { CommandContext } from '../command.ts';
import { findStackHolder } from '../stack/data-dir-lock.ts';
import { cloneDir } from '../stack/stack-settings.ts';
import { findDockerProblem } from './docker-check.ts';
import type { Finding } from './finding.ts';

/** `directory` is where the workspace of this command is. */
export async function lookAtMachine(
  context: CommandContext,
  directory: string = cloneDir,
): Promise<Finding[]> {
  const text = `Node ${process.versions.node}, the pinned one, on ${process.platform}`;
  const node: Finding = { verdict: 'well', check: 'node', text };
  // An image has the packages that its program needs and none of what sets a clone up.
  if (!existsSync(path.join(directory, 'scripts/setup.mjs'))) return [node];
  return [node, lookAtSetUp(directory), await lookAtOwnStack(context), await lookAtDocker(context)];
}

function lookAtSetUp(directory: string): Finding {
  const check = 'set-up';
  return existsSync(path.join(directory, 'node_modules/@tracelake/cli'))
    ? { verdict: 'well', check, text: `set-up of ${directory} is done` }
    : {
        verdict: 'wrong',
        check,
        text: `set-up of ${directory} is not whole: run "npm run setup"`,
        runbook: 'install',
      };
}

async function lookAtOwnStack(context: CommandContext): Promise<Finding> {
  const dataDir = path.resolve(
    context.cwd,
    context.env.TRACELAKE_DATA_DIR ?? path.join(cloneDir, '.tracelake'),
  );
  const holder = await findStackHolder(dataDir);
  const check = 'own-stack';
  return holder === undefined
    ? { verdict: 'note', check, text: `no stack runs on ${dataDir}; "npm start" starts one` }
    : { verdict: 'well', check, text: `a stack runs on ${dataDir} (process ${holder})` };
}

async function lookAtDocker(context: CommandContext): Promise<Finding> {
  const problem = await findDockerProblem(context.env, context.signal);
  const check = 'docker';
  return problem === undefined
    ? { verdict: 'well', check, text: 'a Docker engine answers (for the end-to-end tests)' }
    : { verdict: 'note', check, text: `the end-to-end tests need Docker: ${problem}` };
}
