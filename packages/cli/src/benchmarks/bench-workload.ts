/** What a benchmark reads: blocks as files in a directory, as a store would hold them, and the types of their streams. */

import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { decodeBlockEnvelope, decodeStreamInfo, encodeBlockPayload } from '@tracelake/transit';
import { CliError } from '../cli-error.ts';
import { readRecording } from '../client/recording.ts';
import { makeSyntheticBlock, type StreamTypes, syntheticTypes } from './synthetic-blocks.ts';

export interface WorkloadBlock {
  readonly file: string;
  readonly bytes: number;
  /** Index into the workload's types. */
  readonly types: number;
}

export interface Workload {
  /** Read in this order; a file may come more than once. */
  readonly blocks: readonly WorkloadBlock[];
  readonly types: readonly StreamTypes[];
}

/** Different blocks of a synthetic workload; more would only take longer to make. */
const DISTINCT_BLOCKS_MAX = 16;

/** Writes `blockCount` reads of blocks with about `eventsPerBlock` events each below `directory`. */
export async function makeSyntheticWorkload(
  directory: string,
  { blockCount, eventsPerBlock }: { blockCount: number; eventsPerBlock: number },
): Promise<Workload> {
  const distinct: WorkloadBlock[] = [];
  for (let index = 0; index < Math.min(blockCount, DISTINCT_BLOCKS_MAX); index++) {
    const payload = makeSyntheticBlock(index, eventsPerBlock);
    distinct.push(await writeBlock(directory, { index, payload, types: 0 }));
  }
  return { blocks: repeated(distinct, blockCount), types: [syntheticTypes] };
}

/**
 * Writes the thread-span blocks of a recording (`requests/index.jsonl` and its bodies), over and over up to `blockCount`.
 * Throws `cli.file` when there are none.
 */
export async function makeRecordedWorkload(
  directory: string,
  { input, blockCount }: { input: string; blockCount: number },
): Promise<Workload> {
  const recording = await readRecording(input);
  const types: StreamTypes[] = [];
  const typesOfStream = new Map<string, number>();
  const payloads: { readonly streamId: string; readonly payload: Uint8Array }[] = [];
  for (const { file, path: target } of recording.requests) {
    const body = await readFile(file);
    if (target.endsWith('insert_stream')) {
      const { streamId, tags, dependenciesMetadata, objectsMetadata } = decodeStreamInfo(body);
      if (!tags.includes('cpu')) continue;
      typesOfStream.set(streamId, types.push({ dependenciesMetadata, objectsMetadata }) - 1);
    } else if (target.endsWith('insert_block')) {
      const { streamId, payload } = decodeBlockEnvelope(body);
      payloads.push({ streamId, payload: encodeBlockPayload(payload) });
    }
  }
  const distinct: WorkloadBlock[] = [];
  for (const { streamId, payload } of payloads) {
    const streamTypes = typesOfStream.get(streamId);
    if (streamTypes === undefined) continue;
    const index = distinct.length;
    distinct.push(await writeBlock(directory, { index, payload, types: streamTypes }));
  }
  if (distinct.length === 0) {
    throw new CliError('cli.file', `${input} has no block of a stream tagged "cpu"`);
  }
  return { blocks: repeated(distinct, blockCount), types };
}

async function writeBlock(
  directory: string,
  block: { readonly index: number; readonly payload: Uint8Array; readonly types: number },
): Promise<WorkloadBlock> {
  await mkdir(directory, { recursive: true });
  const file = path.join(directory, `block-${block.index}`);
  await writeFile(file, block.payload);
  return { file, bytes: (await stat(file)).size, types: block.types };
}

function repeated<T>(distinct: readonly T[], count: number): T[] {
  return Array.from({ length: count }, (_, index) => distinct[index % distinct.length] as T);
}
