/** The whole surface of the service besides `/healthz`, `/readyz` and `/metrics`. */

import type { ProcessRepository } from '@tracelake/storage';
import type { FastifyInstance } from 'fastify';
import { type ExportPorts, type ExportRoute, TraceExporter } from './export-trace.ts';
import { registerProcessRoutes } from './list-processes.ts';

export interface RoutePorts extends ExportPorts {
  readonly processes: ProcessRepository;
}

export function registerRoutes(app: FastifyInstance, ports: RoutePorts): void {
  registerProcessRoutes(app, ports.processes);
  const exporter = new TraceExporter(ports);
  // Without HEAD: nothing of an export is known before its partitions are built.
  app.get<ExportRoute>(
    '/v1/processes/:process_id/trace',
    { exposeHeadRoute: false },
    (request, reply) => exporter.handle(request, reply),
  );
}
