import { exitStatus } from '../cli-error.ts';
import { postPatiently } from '../client/patient-post.ts';
import { readConnection } from '../client/service-endpoints.ts';
import { type Command, connectionHelp, connectionOptions } from '../command.ts';

const help = `Usage: tracelake materialize VIEW INSTANCE [--workers N] [--channel-depth N]

Brings one instance of a view up to date and prints what was done: "current" when its
partitions already are those wanted, else how many were built, of how many blocks.
The instance of thread_spans is a stream id; of log_entries, measures and async_events
a process id.

  --workers N        blocks of this build decoded at once, as far as the service's CPU tokens
                     go (TRACELAKE_CPU_TOKENS; default: the service's)
  --channel-depth N  blocks waiting between two stages (default: the service's, 4)
${connectionHelp}

Examples:
  tracelake materialize async_events 9d3b9a8e-6c1f-4c5b-8f3e-0a1b2c3d4e5f
  tracelake materialize thread_spans 1f0c5b7e-2a3b-4c5d-8e9f-0a1b2c3d4e5f --workers 4
`;

export const materializeCommand: Command = {
  name: 'materialize',
  summary: 'bring the partitions of a view instance up to date',
  help,
  options: {
    ...connectionOptions,
    workers: { type: 'string' },
    'channel-depth': { type: 'string' },
  },
  async run(args, context) {
    const [view, instance] = args.exactly('VIEW', 'INSTANCE');
    const query = new URLSearchParams();
    const workers = args.integer('workers', { min: 1, max: 256 });
    const channelDepth = args.integer('channel-depth', { min: 1, max: 1024 });
    if (workers !== undefined) query.set('workers', String(workers));
    if (channelDepth !== undefined) query.set('channel_depth', String(channelDepth));
    const target = `/v1/materialize/${encodeURIComponent(view)}/${encodeURIComponent(instance)}`;
    const receipt = await postPatiently(readConnection(args, context.env), {
      service: 'materializer',
      path: query.size === 0 ? target : `${target}?${query}`,
      signal: context.signal,
    });
    context.stdout.write(`${JSON.stringify(receipt, undefined, 2)}\n`);
    return exitStatus.ok;
  },
};
