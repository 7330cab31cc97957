import { fileURLToPath } from 'node:url';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { Secret } from '@tracelake/domain';
import { StorageError } from '../storage-error.ts';
import { DirectoryObjectStore, type DirectoryStoreOptions } from './directory-object-store.ts';
import type { ObjectStore } from './object-store.ts';
import { S3ObjectStore } from './s3-object-store.ts';

export interface S3Options {
  /** Base URL of a store that is not AWS's own; its buckets are then addressed by path. */
  readonly endpoint?: string | undefined;
  /** Default: as the AWS SDK finds it, else `us-east-1`. */
  readonly region?: string | undefined;
  /** Default: as the AWS SDK finds them (environment, profile, role). */
  readonly credentials?:
    | { readonly accessKeyId: string; readonly secretAccessKey: Secret }
    | undefined;
}

/**
 * Opens `file:///directory` or `s3://bucket/prefix`; nothing is read or written before the first call of
 * `checkReady`, which a service awaits before it serves. Throws `storage.bad-object-store-url`.
 */
export async function openObjectStore(
  url: string,
  options: S3Options & DirectoryStoreOptions = {},
): Promise<ObjectStore & AsyncDisposable> {
  const parsed = URL.parse(url);
  if (parsed?.protocol === 'file:' && parsed.host === '' && parsed.pathname.length > 1) {
    return new DirectoryObjectStore(fileURLToPath(parsed), options);
  }
  if (parsed?.protocol === 's3:' && parsed.host !== '') {
    const path = parsed.pathname.replace(/^\/+|\/+$/g, '');
    const prefix = path === '' ? '' : `${decodeURIComponent(path)}/`;
    return new S3ObjectStore(new S3Client(clientConfig(options)), { bucket: parsed.host, prefix });
  }
  throw new StorageError(
    'storage.bad-object-store-url',
    'the object store URL must look like file:///directory or s3://bucket/prefix',
    { details: { url } },
  );
}

const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

function clientConfig({ endpoint, region, credentials }: S3Options): S3ClientConfig {
  return {
    // Checksums that only AWS requires are refused by other stores.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 3,
    // Errors are thrown with their cause; the SDK's own lines on stdout would break the JSON log.
    logger: silent,
    requestHandler: { connectionTimeout: 5_000, requestTimeout: 60_000 },
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(region === undefined ? {} : { region }),
    ...(endpoint !== undefined && region === undefined ? { region: 'us-east-1' } : {}),
    ...(credentials === undefined
      ? {}
      : {
          credentials: {
            accessKeyId: credentials.accessKeyId,
            secretAccessKey: credentials.secretAccessKey.reveal(),
          },
        }),
  };
}
