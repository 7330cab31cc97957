import { exitStatus, usageError } from '../cli-error.ts';
import { readConnection } from '../client/service-endpoints.ts';
import {
  type Command,
  type CommandArguments,
  type CommandContext,
  connectionHelp,
  connectionOptions,
} from '../command.ts';
import {
  costOfKeeping,
  costOfMillionEvents,
  examplePrices,
  exampleUsage,
  type LakeHoldings,
  type Prices,
  shortNumber,
  type Usage,
} from '../cost/cost-model.ts';
import { readHoldings } from '../cost/lake-holdings.ts';
import { readRangeArguments } from '../output/time-argument.ts';

const help = `Usage: tracelake cost [--gb-month-price N] [--request-price N] [options]

What a million events cost, from what the lake holds: its events, blocks, raw bytes and
partitions, with the formula and the numbers in it. The default prices are EXAMPLES, of the
order of a large cloud's, in dollars: put in yours.

  --gb-month-price N       a GB (1e9 bytes) of the object store for a month (${examplePrices.storageGbMonth})
  --request-price N        a million requests that write an object (${examplePrices.millionWrites})
  --read-request-price N   a million requests that read one (${examplePrices.millionReads})
  --core-hour-price N      an hour of a CPU core (${examplePrices.coreHour})
  --disk-gb-month-price N  a GB of Postgres' disk for a month (${examplePrices.diskGbMonth})
  --months N               how long events are kept (${exampleUsage.monthsKept})
  --reads-per-block N      how often builds read a block: once a view (${exampleUsage.readsPerBlock})
  --cpu-seconds N          CPU of ingest, builds and an export of a million events
                           (${exampleUsage.cpuSeconds}, as docs/sizing.md has measured)
  --begin TIME             only what came in the range; RFC 3339, or a time ago: 1h, 2d.
  --end TIME               A lake of very many blocks is read faster by a day of it
  --json                   everything for programs
${connectionHelp}

Examples:
  tracelake cost
  tracelake cost --begin 1d --gb-month-price 0.02 --months 3
  tracelake cost --gb-month-price 0.015 --request-price 0 --read-request-price 0 --json
`;

const numberOptions = [
  'gb-month-price',
  'request-price',
  'read-request-price',
  'core-hour-price',
  'disk-gb-month-price',
  'months',
  'reads-per-block',
  'cpu-seconds',
] as const;

export const costCommand: Command = {
  name: 'cost',
  summary: 'what a million events cost, from what the lake holds',
  help,
  options: {
    ...connectionOptions,
    ...Object.fromEntries(numberOptions.map((name) => [name, { type: 'string' } as const])),
    begin: { type: 'string' },
    end: { type: 'string' },
    json: { type: 'boolean' },
  },
  async run(args, context) {
    args.exactly();
    const prices = readPrices(args);
    const usage = readUsage(args);
    const range = readRangeArguments(args);
    const holdings = await readHoldings(readConnection(args, context.env), range, context);
    if (args.flag('json')) writeJson(holdings, prices, usage, context);
    else writeText(holdings, prices, usage, context);
    return exitStatus.ok;
  },
};

function readPrices(args: CommandArguments): Prices {
  const read = numberReader(args);
  return {
    storageGbMonth: read('gb-month-price') ?? examplePrices.storageGbMonth,
    millionWrites: read('request-price') ?? examplePrices.millionWrites,
    millionReads: read('read-request-price') ?? examplePrices.millionReads,
    coreHour: read('core-hour-price') ?? examplePrices.coreHour,
    diskGbMonth: read('disk-gb-month-price') ?? examplePrices.diskGbMonth,
  };
}

function readUsage(args: CommandArguments): Usage {
  const read = numberReader(args);
  return {
    monthsKept: read('months') ?? exampleUsage.monthsKept,
    readsPerBlock: read('reads-per-block') ?? exampleUsage.readsPerBlock,
    cpuSeconds: read('cpu-seconds') ?? exampleUsage.cpuSeconds,
  };
}

function numberReader(args: CommandArguments) {
  return (name: (typeof numberOptions)[number]): number | undefined => {
    const text = args.text(name);
    if (text === undefined || /^\d{1,12}(\.\d{1,12})?$/.test(text)) {
      return text === undefined ? undefined : Number(text);
    }
    throw usageError(`--${name} must be a number such as 0.023, not "${text}"`);
  };
}

function writeText(
  holdings: LakeHoldings,
  prices: Prices,
  usage: Usage,
  { stdout }: CommandContext,
): void {
  const { events, blocks, rawBytes, partitionFiles, partitionBytes } = holdings;
  const parts = costOfMillionEvents(holdings, prices, usage);
  const each = (bytes: number) => (events === 0 ? '' : `, ${shortNumber(bytes / events)} an event`);
  const perBlock = blocks === 0 ? '' : ` of ${shortNumber(events / blocks)} events`;
  stdout.write(`The lake holds
  ${grouped(events)} events in ${grouped(blocks)} blocks${perBlock}
  ${grouped(rawBytes)} raw bytes${each(rawBytes)}
  ${grouped(partitionBytes)} bytes of partitions in ${grouped(partitionFiles)} files${each(partitionBytes)}
  kept for a month: ${shortNumber(costOfKeeping(holdings, prices))}
`);
  if (parts === undefined) {
    stdout.write('\nWithout events there is no cost of a million of them.\n');
    return;
  }
  stdout.write('\nA million events cost\n');
  for (const { name, formula, cost } of parts) {
    stdout.write(`  ${name.padEnd(9)} ${formula} = ${shortNumber(cost)}\n`);
  }
  const total = parts.reduce((sum, { cost }) => sum + cost, 0);
  stdout.write(`  together  ${shortNumber(total)}\n`);
  stdout.write('\nPrices that were not given are examples: see "tracelake cost --help".\n');
}

function writeJson(
  holdings: LakeHoldings,
  prices: Prices,
  usage: Usage,
  { stdout }: CommandContext,
): void {
  const parts = costOfMillionEvents(holdings, prices, usage);
  const answer = {
    holdings: {
      events: holdings.events,
      blocks: holdings.blocks,
      raw_bytes: holdings.rawBytes,
      partition_files: holdings.partitionFiles,
      partition_bytes: holdings.partitionBytes,
    },
    prices: {
      storage_gb_month: prices.storageGbMonth,
      million_writes: prices.millionWrites,
      million_reads: prices.millionReads,
      core_hour: prices.coreHour,
      disk_gb_month: prices.diskGbMonth,
    },
    usage: {
      months_kept: usage.monthsKept,
      reads_per_block: usage.readsPerBlock,
      cpu_seconds: usage.cpuSeconds,
    },
    keeping_for_a_month: costOfKeeping(holdings, prices),
    million_events:
      parts === undefined ? null : { total: parts.reduce((sum, { cost }) => sum + cost, 0), parts },
  };
  stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
}

/** `1234567` -> `1,234,567`. */
function grouped(value: number): string {
  return value.toLocaleString('en-US');
}
