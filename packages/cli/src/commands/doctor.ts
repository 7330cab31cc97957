import { exitStatus } from '../cli-error.ts';
import { readConnection, type ServiceName } from '../client/service-endpoints.ts';
import {
  type Command,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import { lookAtBackends } from '../doctor/backend-findings.ts';
import { type Finding, runbookPath } from '../doctor/finding.ts';
import { judgeLake } from '../doctor/lake-findings.ts';
import { lookAtMachine } from '../doctor/machine-findings.ts';
import { judgeServices } from '../doctor/service-findings.ts';
import { lookAtService } from '../doctor/service-look.ts';

const help = `Usage: tracelake doctor [--json]

Looks at what usually goes wrong and says what to do, with the page of deploy/runbooks that
has the steps. Of a deployment: whether each service is ready and what keeps it from being
so, versions and clocks, free space, rows that are stored and not announced, lanes without
an owner, messages that wait, dead letters, blocks that are rejected or wait for their
process. In a clone also: this machine's set-up, the stack of the clone, and Docker, which
only the end-to-end tests need.

Where TRACELAKE_DATABASE_URL, TRACELAKE_NATS_URL or TRACELAKE_OBJECT_STORE_URL are set, it
asks those too, from here: the schema's version, JetStream, and whether the store can be
written (a probe is put and taken away again).

"wrong" does not work; "note" is for somebody to look at; "?" could not be told. What the
lake holds comes from the materializer's metrics and is up to half a minute old. Of several
replicas behind one address the one that answers is looked at.

  --json             {"is_well", "findings": [{"verdict", "check", "text", "runbook"}]}
${connectionHelp}

Exit status: 0 nothing is wrong, 1 something is (notes and what is not known do not count).

Examples:
  tracelake doctor
  tracelake doctor --url http://lake.example
  TRACELAKE_INGEST_URL=http://tracelake-ingest:4318 tracelake doctor --json
`;

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'find out what is wrong and what to do',
  help,
  options: { ...connectionOptions, json: { type: 'boolean' } },
  async run(args, context) {
    args.exactly();
    const { urls } = readConnection(args, context.env);
    const looking = (Object.keys(urls) as ServiceName[]).map((service) =>
      lookAtService(service, urls[service], context.signal),
    );
    const [machine, backends, ...looks] = await Promise.all([
      lookAtMachine(context),
      lookAtBackends(context),
      ...looking,
    ]);
    const materializer = looks.find(({ service }) => service === 'materializer');
    const findings = [
      ...machine,
      ...judgeServices(looks),
      ...backends,
      ...judgeLake(materializer?.metrics),
    ];
    const isWell = findings.every(({ verdict }) => verdict !== 'wrong');
    if (args.flag('json')) writeJson(findings, isWell, context);
    else writeLines(findings, isWell, context);
    return isWell ? exitStatus.ok : exitStatus.failed;
  },
};

const marks = { well: 'ok   ', note: 'note ', wrong: 'wrong', unknown: '?    ' } as const;

function writeLines(
  findings: readonly Finding[],
  isWell: boolean,
  { stdout }: CommandContext,
): void {
  for (const { verdict, text, runbook } of findings) {
    stdout.write(`${marks[verdict]} ${text}\n`);
    if (runbook !== undefined) stdout.write(`      see ${runbookPath(runbook)}\n`);
  }
  stdout.write(isWell ? '\nNothing is wrong.\n' : '\nSee the lines marked "wrong".\n');
}

function writeJson(
  findings: readonly Finding[],
  isWell: boolean,
  { stdout }: CommandContext,
): void {
  const described = findings.map(({ verdict, check, text, runbook }) => ({
    verdict,
    check,
    text,
    runbook: runbook === undefined ? null : runbookPath(runbook),
  }));
  const answer = { is_well: isWell, findings: described };
  stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
}
