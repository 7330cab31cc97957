/** The whole HTTP surface of ingest, beside the operations routes that every service has. */
import type { Readiness } from '@tracelake/service-kit';
import { takesWork } from '@tracelake/service-kit';
import type { FastifyInstance } from 'fastify';
import { type BlockHandlerPorts, insertBlock } from './insert-block.ts';
import { insertProcess, type ProcessHandlerPorts } from './insert-process.ts';
import { insertStream, type StreamHandlerPorts } from './insert-stream.ts';
import { type NativeRouteOptions, registerNativeBodies, toRouteHandler } from './native-route.ts';

export interface RoutePorts extends ProcessHandlerPorts, StreamHandlerPorts, BlockHandlerPorts {
  readonly readiness: Readiness;
}

export function registerRoutes(
  app: FastifyInstance,
  ports: RoutePorts,
  options: NativeRouteOptions,
): void {
  app.register(async (native) => {
    registerNativeBodies(native, options);
    native.post('/ingestion/insert_process', toRouteHandler(insertProcess(ports), options));
    native.post('/ingestion/insert_stream', toRouteHandler(insertStream(ports), options));
    native.post('/ingestion/insert_block', toRouteHandler(insertBlock(ports), options));
  });
  registerReferenceHealth(app, ports.readiness);
}

/** The reference's own paths, with its empty answers. */
function registerReferenceHealth(app: FastifyInstance, readiness: Readiness): void {
  const config = { public: true };
  app.get('/health', { config }, async (_, reply) => reply.code(200).send());
  app.get('/ready', { config }, async (_, reply) => {
    const report = await readiness.check();
    return reply.code(takesWork(report) ? 200 : 503).send();
  });
}
