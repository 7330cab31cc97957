/** A service that does as its environment says, started as a process by run-service.db.test.ts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createHttpServer, readCommonConfig, runService } from '../src/index.ts';

const script = process.env.SCRIPT ?? 'serve';

await runService({
  name: 'scripted',
  readConfig: (env) => ({
    ...readCommonConfig(env),
    port: env.port('TRACELAKE_INGEST_PORT', { default: 0 }),
  }),
  createService: async (config, { logger, metrics, signal }) => {
    if (script === 'fail-start') throw new Error('no dependency');
    if (script === 'hang-start') await sleep(60_000, undefined, { signal });
    const server = createHttpServer({ ...config, logger, metrics, checks: {} });
    server.app.get('/slow', async () => {
      logger.info('slow request entered');
      await sleep(script === 'overrun' ? 60_000 : 700);
      return 'whole';
    });
    server.app.get('/reject', async () => {
      void Promise.reject(new Error('nobody caught me'));
      return 'ok';
    });
    return {
      url: await server.listen(),
      beginDrain: () => server.beginDrain(),
      describeRemaining: () => ({ requestsInFlight: server.inFlight.count }),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
});
