/**
 * Objects in S3 or a store that speaks its protocol. Create-only puts are `If-None-Match: *`: 412 when the key
 * is taken, 409 while another put of it is under way (asked again until it is decided).
 */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadBucketCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { checkObjectKey } from '../object-keys.ts';
import { StorageError } from '../storage-error.ts';
import {
  type ByteRange,
  type ObjectBody,
  type ObjectEntry,
  type ObjectStore,
  type PutOutcome,
  proveCreateOnly,
} from './object-store.ts';

export interface S3Location {
  readonly bucket: string;
  /** Empty, or ends in a slash. */
  readonly prefix: string;
}

const UNDECIDED_ATTEMPTS = 20;
const STREAM_ATTEMPTS = 3;

export class S3ObjectStore implements ObjectStore, AsyncDisposable {
  readonly url: string;
  readonly #client: S3Client;
  readonly #location: S3Location;
  #isProven = false;

  constructor(client: S3Client, location: S3Location) {
    this.#client = client;
    this.#location = location;
    this.url = `s3://${location.bucket}/${location.prefix}`;
  }

  async putIfAbsent(key: string, body: ObjectBody, signal?: AbortSignal): Promise<PutOutcome> {
    const target = this.#target(key);
    return attempt(key, signal, async () => {
      for (let tries = 1; ; tries++) {
        try {
          await this.#putOnce(target, body, signal);
          return 'created';
        } catch (error) {
          const status = statusOf(error);
          if (status === 412) return 'already-exists';
          const mayRetry =
            status === 409
              ? tries < UNDECIDED_ATTEMPTS
              : // The SDK cannot send a stream again by itself.
                'path' in body && isRetryable(error) && tries < STREAM_ATTEMPTS;
          if (!mayRetry) throw error;
          await delay(50 * Math.min(tries, 10), undefined, signal && { signal });
        }
      }
    });
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array> {
    return attempt(key, signal, async () => {
      const output = await this.#open(key, undefined, signal);
      return bodyOf(output).transformToByteArray();
    });
  }

  async getRange(key: string, range: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkObjectKey(key);
    if (range.length === 0) return new Uint8Array(0);
    try {
      return await attempt(key, signal, async () => {
        const header = `bytes=${range.offset}-${range.offset + range.length - 1}`;
        return bodyOf(await this.#open(key, header, signal)).transformToByteArray();
      });
    } catch (error) {
      const isPastTheEnd = error instanceof StorageError && statusOf(error.cause) === 416;
      if (isPastTheEnd) return new Uint8Array(0);
      throw error;
    }
  }

  async getToFile(key: string, path: string, signal?: AbortSignal): Promise<void> {
    await attempt(key, signal, async () => {
      const temporary = `${path}.${randomUUID()}.partial`;
      try {
        const body = bodyOf(await this.#open(key, undefined, signal));
        if (!(body instanceof Readable)) throw new TypeError('the body of an object is no stream');
        await pipeline(body, createWriteStream(temporary), signal === undefined ? {} : { signal });
        await rename(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  localPath(key: string): undefined {
    checkObjectKey(key);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const target = this.#target(key);
    await attempt(key, signal, () =>
      this.#client.send(new DeleteObjectCommand(target), sendOptions(signal)),
    );
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectEntry> {
    let token: string | undefined;
    do {
      const page = await attempt(prefix, signal, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#location.bucket,
            Prefix: this.#location.prefix + prefix,
            ContinuationToken: token,
          }),
          sendOptions(signal),
        ),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key === undefined) continue;
        yield {
          key: Key.slice(this.#location.prefix.length),
          sizeBytes: Size ?? 0,
          modifiedMs: LastModified?.getTime() ?? 0,
        };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async checkReady(signal?: AbortSignal): Promise<void> {
    if (this.#isProven) {
      await attempt(this.url, signal, () =>
        this.#client.send(
          new HeadBucketCommand({ Bucket: this.#location.bucket }),
          sendOptions(signal),
        ),
      );
      return;
    }
    await proveCreateOnly(this, signal);
    this.#isProven = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
  }

  async #putOnce(
    target: { Bucket: string; Key: string },
    body: ObjectBody,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const input = await uploadOf(body);
    try {
      await this.#client.send(
        new PutObjectCommand({ ...target, ...input, IfNoneMatch: '*' }),
        sendOptions(signal),
      );
    } finally {
      if (input.Body instanceof Readable) input.Body.destroy();
    }
  }

  async #open(
    key: string,
    range: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<GetObjectCommandOutput> {
    const input = { ...this.#target(key), ...(range === undefined ? {} : { Range: range }) };
    return this.#client.send(new GetObjectCommand(input), sendOptions(signal));
  }

  #target(key: string): { Bucket: string; Key: string } {
    checkObjectKey(key);
    return { Bucket: this.#location.bucket, Key: this.#location.prefix + key };
  }
}

async function uploadOf(
  body: ObjectBody,
): Promise<{ readonly Body: Uint8Array | Readable; readonly ContentLength: number }> {
  if ('path' in body) {
    return { Body: createReadStream(body.path), ContentLength: (await stat(body.path)).size };
  }
  const bytes = 'pieces' in body ? Buffer.concat(body.pieces) : body;
  return { Body: bytes, ContentLength: bytes.length };
}

function sendOptions(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

function bodyOf(output: GetObjectCommandOutput): NonNullable<GetObjectCommandOutput['Body']> {
  if (output.Body === undefined) throw new TypeError('an object came without a body');
  return output.Body;
}

async function attempt<T>(
  key: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    throw toStorageError(error, key);
  }
}

function toStorageError(error: unknown, key: string): unknown {
  if (error instanceof StorageError || error instanceof TypeError) return error;
  const status = statusOf(error);
  const name = error instanceof Error ? error.name : 'unknown';
  const options = { cause: error, details: { key, status, name } };
  if (status === 404 && name !== 'NoSuchBucket') {
    return new StorageError('storage.object-missing', 'there is no such object', options);
  }
  if (isRetryable(error)) {
    return new StorageError('storage.object-store-unavailable', `S3 does not serve (${name})`, {
      ...options,
      retryable: true,
    });
  }
  return new StorageError('storage.object-store-refused', `S3 refused (${name})`, options);
}

/** No status means that no answer came. */
function isRetryable(error: unknown): boolean {
  const status = statusOf(error);
  return (
    status === undefined || status >= 500 || status === 408 || status === 409 || status === 429
  );
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}
