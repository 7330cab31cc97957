import path from 'node:path';
import { exitStatus } from '../cli-error.ts';
import { readRecording } from '../client/recording.ts';
import { replayRequests, shuffled } from '../client/replay.ts';
import { readConnection } from '../client/service-endpoints.ts';
import { type Command, connectionHelp, connectionOptions } from '../command.ts';
import { Progress } from '../output/progress.ts';

const help = `Usage: tracelake replay DIR [--times N] [--shuffle SEED]

Posts a recording to ingest: the requests listed in DIR/requests/index.jsonl, one line
of JSON each with "file", "method" and "path", in that order. An ingest that is
overloaded (503) or away is tried again for a minute for each request. Sending the
same recording again changes nothing.

  --times N          send all of it so many times over (default 1)
  --shuffle SEED     in an order that the seed decides; blocks may come before their
                     process and streams
${connectionHelp}

Examples:
  tracelake replay packages/cli/sample
  tracelake replay recordings/crash --shuffle 42 --times 2
`;

const patienceMs = 60_000;

export const replayCommand: Command = {
  name: 'replay',
  summary: 'post a recording of a client to ingest',
  help,
  options: { ...connectionOptions, times: { type: 'string' }, shuffle: { type: 'string' } },
  async run(args, context) {
    const [directory] = args.exactly('DIR');
    const times = args.integer('times', { min: 1, max: 1_000_000 }) ?? 1;
    const seed = args.integer('shuffle', { min: 0, max: 0xffff_ffff });
    const recording = await readRecording(path.resolve(context.cwd, directory));
    const connection = readConnection(args, context.env);
    const progress = new Progress({ stream: context.stderr });
    let requestCount = 0;
    let retryCount = 0;
    for (let round = 0; round < times; round += 1) {
      const { requests } = recording;
      let sentBefore = 0;
      const result = await replayRequests({
        connection,
        requests: seed === undefined ? requests : shuffled(requests, seed + round),
        signal: context.signal,
        patienceMs,
        onSent: (_count, bytes) => {
          progress.add(bytes - sentBefore);
          sentBefore = bytes;
        },
      });
      requestCount += result.requestCount;
      retryCount += result.retryCount;
    }
    progress.end();
    const retries = retryCount === 0 ? '' : `, ${retryCount} tried again`;
    context.stderr.write(`sent ${requestCount} requests${retries}: ${progress.summary()}\n`);
    if (recording.processId !== undefined) context.stdout.write(`${recording.processId}\n`);
    return exitStatus.ok;
  },
};
