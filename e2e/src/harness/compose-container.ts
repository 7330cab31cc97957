/** A service of compose.yaml as a container of Testcontainers, with all that the file says of it. */

import { GenericContainer, Wait, type WaitStrategy } from 'testcontainers';
import type { ComposeService } from '../../../deploy/compose/compose-file.ts';
import { RUN_LABEL } from './docker-engine.ts';

export interface ComposeContainerOptions {
  readonly service: ComposeService;
  readonly image: string;
  readonly containerName: string;
  readonly network: string;
  /** The name under which others of the network find it. */
  readonly hostName: string;
  /** Ports of this machine in place of the file's, by those of the container. */
  readonly hostPorts: ReadonlyMap<number, number>;
  /** The names that volumes of the file have here. */
  readonly volumeName: (name: string) => string;
  /** What its start waits for. */
  readonly until: 'started' | 'ended' | 'healthy' | { readonly answers: string };
  /** Gets the last lines that it prints while it starts: a container that fails is gone with its log. */
  readonly log: string[];
}

const START_TIMEOUT_MS = 120_000;
const LINES_KEPT = 30;

export function composeContainer(options: ComposeContainerOptions): GenericContainer {
  const { service, hostPorts, log } = options;
  const container = new ComposeContainer(options)
    .withName(options.containerName)
    .withNetworkMode(options.network)
    .withLabels({ [RUN_LABEL]: options.hostName })
    .withEnvironment({ ...service.environment })
    .withTmpFs(Object.fromEntries(service.tmpfs.map((target) => [target, ''])))
    .withDroppedCapabilities(...service.droppedCapabilities)
    .withSecurityOpt(...service.securityOptions)
    .withBindMounts(
      service.mounts.map(({ source, target, kind, readOnly }) => ({
        source: kind === 'volume' ? options.volumeName(source) : source,
        target,
        mode: readOnly ? 'ro' : 'rw',
      })),
    )
    .withExposedPorts(...[...hostPorts].map(([inside, host]) => ({ container: inside, host })))
    .withLogConsumer((stream) => {
      stream.on('data', (line: string) => {
        log.push(line.trimEnd());
        if (log.length > LINES_KEPT) log.shift();
      });
    })
    .withWaitStrategy(waitStrategyOf(options))
    .withStartupTimeout(START_TIMEOUT_MS);
  const { command, user, healthcheck } = service;
  if (command !== undefined) container.withCommand([...command]);
  if (user !== undefined) container.withUser(user);
  if (healthcheck !== undefined) {
    const [kind, ...words] = healthcheck.test;
    if (kind !== 'CMD') throw new Error(`${options.hostName}: a health check is no command`);
    container.withHealthCheck({
      test: ['CMD', ...words],
      interval: healthcheck.intervalMs,
      timeout: healthcheck.timeoutMs,
      retries: healthcheck.retries,
    });
  }
  return container;
}

/** What Testcontainers itself has no method for. */
class ComposeContainer extends GenericContainer {
  constructor({ service, image, network, hostName }: ComposeContainerOptions) {
    super(image);
    this.hostConfig.ReadonlyRootfs = service.readOnly;
    if (service.restart !== undefined) this.hostConfig.RestartPolicy = { Name: service.restart };
    this.createOpts.StopTimeout = service.stopGraceMs / 1000;
    // withNetworkAliases would put it on the default bridge as well.
    this.createOpts.NetworkingConfig = { EndpointsConfig: { [network]: { Aliases: [hostName] } } };
  }
}

function waitStrategyOf({ until, hostPorts }: ComposeContainerOptions): WaitStrategy {
  if (until === 'healthy') return Wait.forHealthCheck();
  if (until === 'ended') return Wait.forOneShotStartup();
  if (until === 'started') return Wait.forAll([]);
  const [port] = hostPorts.keys();
  if (port === undefined) throw new Error(`no port to ask for ${until.answers}`);
  return Wait.forHttp(until.answers, port).forStatusCode(200);
}
