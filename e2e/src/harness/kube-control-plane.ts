/**
 * A Kubernetes API server with etcd, its controllers and its scheduler, as processes on loopback. Everything that the
 * server checks by default it checks here: schemas, admission, quotas, pod security.
 */

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { ClusterProgram, mustRun } from './kube-programs.ts';

export interface ControlPlaneOptions {
  /** Directory of the programs. */
  readonly bin: string;
  /** Address that the server listens on; pods of a real node cannot reach loopback. */
  readonly address?: string;
}

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[];
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

export interface ControlPlane extends AsyncDisposable {
  readonly url: string;
  readonly kubeconfig: string;
  /** Where programs of a node may put what they need; goes with the cluster. */
  readonly dir: string;
  /** Runs kubectl as the administrator and gives its standard output. Throws when it fails. */
  kubectl(...args: readonly string[]): Promise<string>;
  /** Applies objects given as text. */
  apply(text: string, ...args: readonly string[]): Promise<string>;
  /** One request of the API as the administrator; throws on what is not 2xx. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  list(path: string): Promise<readonly KubernetesObject[]>;
}

export const SERVICE_RANGE = '10.96.0.0/24';

/** Resolves when the server is ready and the controllers run. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'tracelake-kube-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const { bin, address = '127.0.0.1' } = options;
  const etcdUrl = await startEtcd(stack, { bin, dir });
  const token = randomBytes(16).toString('hex');
  const url = `https://${address}:${await freePort()}`;
  await writeCredentials(dir, { url, token });
  const call = (method: string, path: string, body?: unknown) =>
    callApi({ url, token, method, path, body });
  const server = stack.use(
    run(bin, dir, 'kube-apiserver', [
      `--etcd-servers=${etcdUrl}`,
      `--bind-address=${address}`,
      `--secure-port=${new URL(url).port}`,
      // Loopback cannot be the address of the service "kubernetes", which nobody here needs.
      '--endpoint-reconciler-type=none',
      `--service-cluster-ip-range=${SERVICE_RANGE}`,
      `--cert-dir=${join(dir, 'server')}`,
      `--token-auth-file=${join(dir, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      // A node's name is in no DNS.
      '--kubelet-preferred-address-types=InternalIP',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${join(dir, 'accounts.pub')}`,
      `--service-account-signing-key-file=${join(dir, 'accounts.key')}`,
    ]),
  );
  await server.waitUntil('readiness', async () => (await call('GET', '/readyz')) === 'ok');
  const kubeconfig = join(dir, 'kubeconfig');
  startControllers(stack, { bin, dir, kubeconfig });
  const kubectl = (...args: readonly string[]) =>
    mustRun(join(bin, 'kubectl'), ['--kubeconfig', kubeconfig, ...args]);
  // Pods are refused until their namespace has its account.
  await server.waitUntil('account of the default namespace', async () => {
    await call('GET', '/api/v1/namespaces/default/serviceaccounts/default');
    return true;
  });
  const owned = stack.move();
  return {
    url,
    kubeconfig,
    dir,
    kubectl,
    apply: async (text, ...args) => {
      const file = join(dir, `objects-${randomBytes(4).toString('hex')}.yaml`);
      await writeFile(file, text);
      return await kubectl('apply', ...args, '-f', file);
    },
    call,
    list: async (path) => {
      const { items, kind, apiVersion } = (await call('GET', path)) as ObjectList;
      return items.map((item) => ({ ...item, apiVersion, kind: kind.replace(/List$/, '') }));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface ObjectList {
  readonly apiVersion: string;
  readonly kind: string;
  readonly items: readonly KubernetesObject[];
}

interface Place {
  readonly bin: string;
  readonly dir: string;
}

function run(bin: string, dir: string, program: string, args: readonly string[]): ClusterProgram {
  return new ClusterProgram({
    command: join(bin, program),
    args,
    logPath: join(dir, `${program}.log`),
  });
}

async function startEtcd(stack: AsyncDisposableStack, { bin, dir }: Place): Promise<string> {
  const url = `http://127.0.0.1:${await freePort()}`;
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  const etcd = stack.use(
    run(bin, dir, 'etcd', [
      `--data-dir=${join(dir, 'etcd')}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      '--unsafe-no-fsync',
      '--log-level=error',
    ]),
  );
  await etcd.waitUntil('health', async () => (await fetch(`${url}/health`)).ok);
  return url;
}

function startControllers(
  stack: AsyncDisposableStack,
  { bin, dir, kubeconfig }: Place & { readonly kubeconfig: string },
): void {
  const common = [
    `--kubeconfig=${kubeconfig}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    '--secure-port=0',
  ];
  stack.use(
    run(bin, dir, 'kube-controller-manager', [
      ...common,
      `--service-account-private-key-file=${join(dir, 'accounts.key')}`,
      // Pretended nodes send no heartbeats.
      '--node-monitor-grace-period=1h',
    ]),
  );
  stack.use(run(bin, dir, 'kube-scheduler', common));
}

async function writeCredentials(
  dir: string,
  { url, token }: { readonly url: string; readonly token: string },
): Promise<void> {
  await mkdir(join(dir, 'server'));
  const mode = { mode: 0o600 };
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  await writeFile(join(dir, 'accounts.pub'), publicKey);
  await writeFile(join(dir, 'accounts.key'), privateKey, mode);
  await writeFile(join(dir, 'tokens.csv'), `${token},tester,tester,"system:masters"\n`, mode);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    // The server signs its own certificate at its start.
    clusters: [{ name: 'test', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'tester', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'tester' } }],
    'current-context': 'test',
  };
  await writeFile(join(dir, 'kubeconfig'), JSON.stringify(config), mode);
}

interface ApiCall {
  readonly url: string;
  readonly token: string;
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

function callApi({ url, token, method, path, body }: ApiCall): Promise<unknown> {
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const payload = body === undefined ? '' : JSON.stringify(body);
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': type,
    // Node frames the body of a DELETE only when it is told its length.
    'content-length': Buffer.byteLength(payload),
  };
  return new Promise((resolve, reject) => {
    const options = { method, headers, rejectUnauthorized: false, timeout: 30_000 };
    const call = request(`${url}${path}`, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        const status = response.statusCode ?? 0;
        if (status < 200 || status > 299) {
          reject(new Error(`${method} ${path}: ${status} ${text}`));
        } else {
          resolve(response.headers['content-type']?.includes('json') ? JSON.parse(text) : text);
        }
      });
    });
    call.once('error', reject);
    call.once('timeout', () => call.destroy(new Error(`${method} ${path} timed out`)));
    call.end(payload);
  });
}
