/** Containers of the services of compose.yaml, started in its order. */

import type {
  ComposeFile,
  ComposeService,
  Condition,
} from '../../../deploy/compose/compose-file.ts';
import type { ServerImage } from '../../../deploy/docker/server-images.ts';
import { type ComposeContainerOptions, composeContainer } from './compose-container.ts';
import { freePort } from './free-port.ts';

/** What tells that a service answers, where the file has no health check for it. */
const READY_PATHS: Readonly<Record<string, string>> = {
  ingest: '/readyz',
  'partition-materializer': '/readyz',
  'trace-export': '/readyz',
  query: '/readyz',
  prometheus: '/-/ready',
  grafana: '/api/health',
};

/** Where no S3 server can be had, services share a directory. */
export const DIRECTORY_STORE = {
  url: 'file:///data/objects',
  volume: 'lake',
  target: '/data',
};

interface Overrides {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export class ComposeTwin {
  readonly compose: ComposeFile;
  readonly #name: string;
  readonly #images: ReadonlyMap<string, ServerImage>;
  readonly #starts = new Map<string, Promise<void>>();
  readonly #ports = new Map<string, number>();
  readonly #logs = new Map<string, string[]>();
  #extraCount = 0;

  constructor(name: string, compose: ComposeFile, images: ReadonlyMap<string, ServerImage>) {
    this.#name = name;
    this.compose = compose;
    this.#images = images;
  }

  async startAll(): Promise<void> {
    await Promise.all(Object.keys(this.compose.services).map((service) => this.#ensure(service)));
  }

  /** As compose does: what it depends on comes first. */
  #ensure(service: string): Promise<void> {
    const started = this.#starts.get(service) ?? this.#startInOrder(service);
    this.#starts.set(service, started);
    return started;
  }

  async #startInOrder(service: string): Promise<void> {
    if (this.whyMissing(service) !== undefined) return;
    const needed = [...this.serviceOf(service).dependsOn.keys()];
    await Promise.all(needed.map((other) => this.#ensure(other)));
    const options = await this.#containerOptions(service, this.containerOf(service), service, {});
    this.#ports.set(service, [...options.hostPorts.values()][0] ?? 0);
    await composeContainer(options).start();
  }

  /** One more container of a service, which others do not find under the service's name. */
  async startExtra(service: string, overrides: Overrides) {
    this.#extraCount += 1;
    const container = `${this.containerOf(service)}-${this.#extraCount}`;
    const options = await this.#containerOptions(service, container, container, overrides);
    await composeContainer(options).start();
    return { container, port: [...options.hostPorts.values()][0] ?? 0 };
  }

  async #containerOptions(
    service: string,
    containerName: string,
    hostName: string,
    overrides: Overrides,
  ): Promise<ComposeContainerOptions> {
    const wanted = this.serviceOf(service);
    const found = this.#images.get(service);
    if (found === undefined || 'missing' in found) throw new Error(`no image for ${service}`);
    const hostPorts = new Map<number, number>();
    for (const { container } of wanted.ports) hostPorts.set(container, await freePort());
    const log: string[] = [];
    this.#logs.set(containerName, log);
    return {
      service: {
        ...wanted,
        command: overrides.command ?? wanted.command,
        environment: { ...wanted.environment, ...overrides.environment },
      },
      image: found.image,
      containerName,
      network: this.#name,
      hostName,
      hostPorts,
      volumeName: (volume) => this.volumeOf(volume),
      until: this.#readiness(service, wanted),
      log,
    };
  }

  #readiness(service: string, { healthcheck }: ComposeService): ComposeContainerOptions['until'] {
    const answers = READY_PATHS[service];
    if (answers !== undefined) return { answers };
    if (healthcheck !== undefined) return 'healthy';
    const ends: Condition = 'service_completed_successfully';
    const isOneShot = Object.values(this.compose.services).some(
      ({ dependsOn }) => dependsOn.get(service) === ends,
    );
    return isOneShot ? 'ended' : 'started';
  }

  /** A service as the file has it; with a directory as object store where no S3 server can be had. */
  serviceOf(name: string): ComposeService {
    const service = this.compose.services[name];
    if (service === undefined) throw new Error(`compose.yaml has no ${name}`);
    const { environment, mounts } = service;
    const needsStore = 'TRACELAKE_OBJECT_STORE_URL' in environment;
    if (!needsStore || this.whyMissing('object-store') === undefined) return service;
    const { TRACELAKE_S3_ENDPOINT_URL: _, ...others } = environment;
    const { url, volume, target } = DIRECTORY_STORE;
    return {
      ...service,
      environment: { ...others, TRACELAKE_OBJECT_STORE_URL: url },
      mounts: [...mounts, { source: volume, target, kind: 'volume', readOnly: false }],
    };
  }

  whyMissing(service: string): string | undefined {
    const found = this.#images.get(service);
    return found !== undefined && 'missing' in found ? found.missing : undefined;
  }

  containerOf(service: string): string {
    return `${this.#name}-${service}`;
  }

  volumeOf(volume: string): string {
    return `${this.#name}-${volume}`;
  }

  urlOf(service: string): string {
    return `http://127.0.0.1:${this.#ports.get(service) ?? 0}`;
  }

  lastLines(): string {
    const reports = [...this.#logs].map(([container, lines]) => [container, ...lines].join('\n'));
    return reports.join('\n\n');
  }
}
