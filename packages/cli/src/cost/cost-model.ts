/** What a million events cost: storage, requests, compute and catalog, from what a lake holds and what things are priced. */

export interface LakeHoldings {
  readonly events: number;
  readonly blocks: number;
  readonly rawBytes: number;
  readonly partitionFiles: number;
  readonly partitionBytes: number;
}

/** In one currency; a GB is 10^9 bytes. */
export interface Prices {
  /** Of a GB of the object store for a month. */
  readonly storageGbMonth: number;
  /** Of a million requests that write. */
  readonly millionWrites: number;
  /** Of a million requests that read. */
  readonly millionReads: number;
  readonly coreHour: number;
  /** Of a GB of Postgres' disk for a month. */
  readonly diskGbMonth: number;
}

/** Of the order of a large cloud's: examples, for each lake to replace. */
export const examplePrices: Prices = {
  storageGbMonth: 0.023,
  millionWrites: 5,
  millionReads: 0.4,
  coreHour: 0.04,
  diskGbMonth: 0.1,
};

export interface Usage {
  readonly monthsKept: number;
  /** How often a block is read by builds: once for each view that is built of it. */
  readonly readsPerBlock: number;
  /** Of ingest, builds and an export, for a million events. */
  readonly cpuSeconds: number;
}

/** Kept for a month, built and exported once; the CPU is what docs/sizing.md has measured. */
export const exampleUsage: Usage = { monthsKept: 1, readsPerBlock: 1, cpuSeconds: 0.64 };

/** What Postgres keeps of a block, with its indexes: docs/sizing.md. */
const catalogBytesPerBlock = 423;

const million = 1e6;
const gigabyte = 1e9;

export interface CostPart {
  readonly name: 'storage' | 'requests' | 'compute' | 'catalog';
  /** With the numbers in it. */
  readonly formula: string;
  readonly cost: number;
}

/** The parts of what a million events cost; undefined for a lake without events. */
export function costOfMillionEvents(
  holdings: LakeHoldings,
  prices: Prices,
  usage: Usage,
): readonly CostPart[] | undefined {
  const { events } = holdings;
  if (events <= 0) return undefined;
  const { monthsKept, readsPerBlock, cpuSeconds } = usage;
  const raw = holdings.rawBytes / events;
  const built = holdings.partitionBytes / events;
  const blocks = (holdings.blocks / events) * million;
  const files = (holdings.partitionFiles / events) * million;
  const reads = blocks * readsPerBlock;
  const n = shortNumber;
  return [
    {
      name: 'storage',
      formula:
        `(${n(raw)} raw + ${n(built)} partition bytes an event) x 1e6 / 1e9 ` +
        `x ${prices.storageGbMonth} a GB-month x ${monthsKept} month(s)`,
      cost: (((raw + built) * million) / gigabyte) * prices.storageGbMonth * monthsKept,
    },
    {
      name: 'requests',
      formula:
        `(${n(blocks)} blocks + ${n(files)} files) x ${prices.millionWrites} / 1e6 ` +
        `+ ${n(reads)} reads x ${prices.millionReads} / 1e6`,
      cost: ((blocks + files) * prices.millionWrites + reads * prices.millionReads) / million,
    },
    {
      name: 'compute',
      formula: `${cpuSeconds} CPU seconds / 3600 x ${prices.coreHour} a core-hour`,
      cost: (cpuSeconds / 3600) * prices.coreHour,
    },
    {
      name: 'catalog',
      formula:
        `${n(blocks)} blocks x ${catalogBytesPerBlock} bytes / 1e9 ` +
        `x ${prices.diskGbMonth} a GB-month x ${monthsKept} month(s)`,
      cost: ((blocks * catalogBytesPerBlock) / gigabyte) * prices.diskGbMonth * monthsKept,
    },
  ];
}

/** What the holdings cost for a month of being kept, without new events. */
export function costOfKeeping(holdings: LakeHoldings, prices: Prices): number {
  const stored = (holdings.rawBytes + holdings.partitionBytes) / gigabyte;
  const catalog = (holdings.blocks * catalogBytesPerBlock) / gigabyte;
  return stored * prices.storageGbMonth + catalog * prices.diskGbMonth;
}

/** Three digits: `9.25`, `1300`, `0.000213`. */
export function shortNumber(value: number): string {
  if (value === 0) return '0';
  if (value >= 1000) return String(Math.round(value));
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const text = value.toFixed(Math.min(digits, 12));
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
