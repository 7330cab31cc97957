import {
  type Database,
  ensureLakeSettings,
  migrate,
  type ObjectStore,
  openDatabase,
  openObjectStore,
} from '@tracelake/storage';
import type { CommonConfig } from './config.ts';
import type { ReadinessCheck } from './readiness.ts';
import type { ServiceContext } from './run-service.ts';
import { measureStores } from './store-metrics.ts';
import { waitForDependency } from './wait-for-dependency.ts';

/** Where everything of a lake is kept. Disposing it closes both stores. */
export interface LakeStores extends AsyncDisposable {
  readonly db: Database;
  readonly objects: ObjectStore;
  /** What `/readyz` asks of both. */
  readonly checks: Readonly<Record<'postgres' | 'object-store', ReadinessCheck>>;
}

/**
 * Opens the database, which is migrated and compared with the lake's settings, and then the object store.
 * Waits up to a minute for each while it may still come up; rejects when one is refused or stays away, as
 * with `storage.lake-settings-mismatch`. The database's operator sees the application's name.
 */
export async function openLakeStores(
  config: CommonConfig & { readonly objectWriterThreads?: number },
  context: ServiceContext,
  applicationName: string,
): Promise<LakeStores> {
  await using stack = new AsyncDisposableStack();
  const db = stack.use(
    openDatabase(config.databaseUrl.reveal(), {
      poolSize: config.databasePoolConnections,
      applicationName,
    }),
  );
  await waitForDependency(
    async (signal) => {
      const { applied, version } = await migrate(db, signal);
      if (applied.length > 0) context.logger.info('database migrated', { applied, version });
      await ensureLakeSettings(db, { lanes: config.lanes }, signal);
    },
    { name: 'postgres', ...context },
  );
  const objects = stack.use(
    await openObjectStore(config.objectStoreUrl, {
      endpoint: config.s3EndpointUrl,
      writerThreads: config.objectWriterThreads,
    }),
  );
  await waitForDependency((signal) => objects.checkReady(signal), {
    name: 'object-store',
    ...context,
  });
  measureStores(context.metrics, { db, objectStoreUrl: config.objectStoreUrl });
  const owned = stack.move();
  return {
    db,
    objects,
    checks: {
      postgres: (signal) => db.checkReady(signal),
      'object-store': (signal) => objects.checkReady(signal),
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
