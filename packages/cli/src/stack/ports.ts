import { createServer } from 'node:net';
import { CliError } from '../cli-error.ts';
import { type ServiceName, servicePorts } from '../client/service-endpoints.ts';

/**
 * Makes sure that the stack can listen where it is told to, and chooses a port where that is 0.
 * Throws `cli.stack` naming every port that is taken, what seems to sit there and how to move.
 */
export async function claimPorts(
  bind: string,
  wanted: Readonly<Record<ServiceName, number>>,
): Promise<Readonly<Record<ServiceName, number>>> {
  const claimed: Record<ServiceName, number> = { ...wanted };
  const problems: string[] = [];
  for (const service of Object.keys(wanted) as ServiceName[]) {
    try {
      claimed[service] = await tryListen(bind, wanted[service]);
    } catch (error) {
      problems.push(await explain(service, bind, wanted[service], error as NodeJS.ErrnoException));
    }
  }
  const doubled = findDoubled(claimed);
  if (doubled !== undefined) problems.push(`two services are told to use port ${doubled}`);
  if (problems.length > 0) throw new CliError('cli.stack', problems.join('\n'));
  return claimed;
}

function tryListen(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(bound));
    });
  });
}

async function explain(
  service: ServiceName,
  bind: string,
  port: number,
  error: NodeJS.ErrnoException,
): Promise<string> {
  const { variable } = servicePorts[service];
  if (error.code === 'EADDRINUSE') {
    const who = await describeListener(bind, port);
    return `port ${port}, which ${service} needs, is busy: ${who}. Stop it, or set ${variable} to a free port`;
  }
  if (error.code === 'EACCES') {
    return `port ${port} needs more rights than this user has; set ${variable} to a port above 1023`;
  }
  return `${service} cannot listen on ${bind}:${port} (${error.message}); check TRACELAKE_BIND and ${variable}`;
}

async function describeListener(bind: string, port: number): Promise<string> {
  try {
    const response = await fetch(`http://${probeHost(bind)}:${port}/readyz`, {
      signal: AbortSignal.timeout(1000),
    });
    const text = await response.text();
    if (response.status < 600 && text.startsWith('{') && text.includes('"checks"')) {
      return 'another Tracelake stack seems to run there';
    }
  } catch {
    // Whatever listens there does not speak HTTP.
  }
  return 'another program listens there';
}

/** Where this machine reaches a service that is bound to `bind`. */
export function probeHost(bind: string): string {
  if (bind === '0.0.0.0') return '127.0.0.1';
  if (bind === '::') return '[::1]';
  return bind.includes(':') ? `[${bind}]` : bind;
}

function findDoubled(ports: Readonly<Record<ServiceName, number>>): number | undefined {
  const values = Object.values(ports);
  return values.find((port, index) => values.indexOf(port) !== index);
}
