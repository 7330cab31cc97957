/** The process side of `tracelake`: arguments, signals and exit status; the rest is `runCli`. */
import process from 'node:process';
import { InterruptedError } from './cli-error.ts';
import { runCli } from './run-cli.ts';

/** A terminal's Ctrl-C comes from the terminal and again from npm: together they are one. */
const sameInterruptMs = 1000;

const abort = new AbortController();
let interruptedAtMs: number | undefined;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (interruptedAtMs === undefined) {
      interruptedAtMs = Date.now();
      abort.abort(new InterruptedError(name));
    } else if (Date.now() - interruptedAtMs > sameInterruptMs) {
      process.stderr.write('tracelake: interrupted again, leaving at once\n');
      process.exit(new InterruptedError(name).exitStatus);
    }
  });
}
// A reader that goes away (`| head`) is not a failure of ours; writes end with EPIPE.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  signal: abort.signal,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
});
