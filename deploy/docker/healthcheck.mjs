/** Asks the service of this container whether it is alive; exit status 0 when it is. */
const PORTS = {
  ingest: ['TRACELAKE_INGEST_PORT', 4318],
  'partition-materializer': ['TRACELAKE_MATERIALIZER_PORT', 4322],
  query: ['TRACELAKE_QUERY_PORT', 4321],
  'trace-export': ['TRACELAKE_TRACE_EXPORT_PORT', 4320],
};
const [variable, defaultPort] = PORTS[process.env.SERVICE];
const port = Number(process.env[variable]) || defaultPort;
const response = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
process.exit(response?.ok ? 0 : 1);
