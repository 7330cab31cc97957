/**
 * A real node on this machine: containerd, a bridge for its pods, kubelet, kube-proxy and a DNS server. Images are put
 * into its store; it pulls none. No NetworkPolicy is enforced: the bridge knows none.
 */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { type ControlPlane, SERVICE_RANGE } from './kube-control-plane.ts';
import { ClusterProgram, mustRun, NETWORK_PLUGINS_DIR } from './kube-programs.ts';

export interface KubernetesNodeOptions {
  readonly bin: string;
  readonly plane: ControlPlane;
  /** Archive of images, as `docker save` writes it. */
  readonly imagesPath: string;
  /** Image of the process that holds a pod's network, in the archive. */
  readonly pauseImage: string;
}

const NODE = 'real';
const BRIDGE = 'tracelake-kube';
const POD_RANGE = '10.244.7.0/24';
const GATEWAY = '10.244.7.1';

/** Resolves when the node is ready for pods. */
export async function startNode(options: KubernetesNodeOptions): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const dir = join(options.plane.dir, 'node');
  await mkdir(dir);
  await openNetwork(stack);
  const socket = await startContainerd(stack, { ...options, dir });
  await startDns(stack, { ...options, dir });
  await startProxy(stack, { ...options, dir });
  await startKubelet(stack, { ...options, dir, socket });
  stack.defer(() => endPods(options.plane, dir));
  return stack.move();
}

interface Place extends KubernetesNodeOptions {
  readonly dir: string;
}

/** Pods, and this machine, reach services through the bridge. */
async function openNetwork(stack: AsyncDisposableStack): Promise<void> {
  await keepSetting(stack, '/proc/sys/net/ipv4/ip_forward', '1');
  // Answers of a pod to its neighbour go through the address translation too.
  await keepSetting(stack, '/proc/sys/net/bridge/bridge-nf-call-iptables', '1');
  await mustRun('ip', ['link', 'add', BRIDGE, 'type', 'bridge']);
  stack.defer(async () => {
    await mustRun('ip', ['link', 'delete', BRIDGE]);
  });
  await mustRun('ip', ['address', 'add', `${GATEWAY}/24`, 'dev', BRIDGE]);
  await mustRun('ip', ['link', 'set', BRIDGE, 'up']);
  await mustRun('ip', ['route', 'add', SERVICE_RANGE, 'dev', BRIDGE]);
  // A container engine on the same machine drops what it does not know.
  for (const direction of ['-i', '-o']) {
    const rule = ['FORWARD', direction, BRIDGE, '-j', 'ACCEPT'];
    await mustRun('iptables', ['-w', '-I', ...rule]);
    stack.defer(async () => {
      await mustRun('iptables', ['-w', '-D', ...rule]);
    });
  }
}

async function keepSetting(
  stack: AsyncDisposableStack,
  path: string,
  value: string,
): Promise<void> {
  const before = await readFile(path, 'utf8');
  await writeFile(path, value);
  stack.defer(() => writeFile(path, before));
}

async function startContainerd(stack: AsyncDisposableStack, place: Place): Promise<string> {
  const { dir, imagesPath, pauseImage } = place;
  const networkDir = join(dir, 'network');
  await mkdir(networkDir);
  await writeFile(join(networkDir, '10-bridge.conflist'), JSON.stringify(networkOf(dir)));
  const socket = join(dir, 'containerd.sock');
  const config = `version = 2
root = ${JSON.stringify(join(dir, 'containerd'))}
state = ${JSON.stringify(join(dir, 'containerd-state'))}
[grpc]
  address = ${JSON.stringify(socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${JSON.stringify(join(dir, 'containerd-opt'))}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${JSON.stringify(pauseImage)}
  disable_apparmor = true
  # Root of a container or a small virtual machine may not shield a process from the kernel's memory killer.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${JSON.stringify(NETWORK_PLUGINS_DIR)}
    conf_dir = ${JSON.stringify(networkDir)}
`;
  await writeFile(join(dir, 'containerd.toml'), config);
  const ctr = (...args: readonly string[]) =>
    mustRun('ctr', ['--address', socket, '--namespace', 'k8s.io', ...args]);
  const containerd = stack.use(
    new ClusterProgram({
      command: '/usr/bin/containerd',
      args: ['--config', join(dir, 'containerd.toml')],
      logPath: join(dir, 'containerd.log'),
    }),
  );
  await containerd.waitUntil('answer', async () => {
    await ctr('version');
    return true;
  });
  stack.defer(async () => {
    for (const id of await listTasks(ctr))
      await ctr('tasks', 'delete', '--force', id).catch(() => {});
  });
  await ctr('images', 'import', imagesPath);
  return socket;
}

async function listTasks(ctr: (...args: readonly string[]) => Promise<string>): Promise<string[]> {
  return (await ctr('tasks', 'list', '--quiet')).split('\n').filter((id) => id !== '');
}

const END_MS = 60_000;

/** The kubelet takes down the networks of its pods; whoever ends it first leaves them behind. */
async function endPods(plane: ControlPlane, dir: string): Promise<void> {
  const all = ['--all', '--all-namespaces'];
  await plane.kubectl('delete', 'deployments,statefulsets,jobs', ...all, '--cascade=background');
  await plane.kubectl('delete', 'pods', ...all, '--grace-period=1', '--wait=false');
  const deadline = Date.now() + END_MS;
  while (Date.now() < deadline && (await addressesInUse(dir)) > 0) await sleep(250);
}

/** Each pod's address is a file until its network is gone. */
async function addressesInUse(dir: string): Promise<number> {
  const files = await readdir(join(dir, 'addresses', BRIDGE)).catch(() => []);
  return files.filter((name) => /^\d+\.\d+\.\d+\.\d+$/.test(name)).length;
}

function networkOf(dir: string) {
  return {
    cniVersion: '0.4.0',
    name: BRIDGE,
    plugins: [
      {
        type: 'bridge',
        bridge: BRIDGE,
        isGateway: true,
        ipMasq: true,
        // A pod reaches itself by its service.
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(dir, 'addresses'),
          ranges: [[{ subnet: POD_RANGE, gateway: GATEWAY }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
    ],
  };
}

async function startDns(stack: AsyncDisposableStack, { bin, dir, plane }: Place): Promise<void> {
  const config = `.:53 {
  bind ${GATEWAY}
  errors
  kubernetes cluster.local {
    kubeconfig ${plane.kubeconfig}
  }
  cache 5
}
`;
  await writeFile(join(dir, 'Corefile'), config);
  stack.use(
    new ClusterProgram({
      command: join(bin, 'coredns'),
      args: [join(dir, 'Corefile')],
      logPath: join(dir, 'coredns.log'),
    }),
  );
}

async function startProxy(stack: AsyncDisposableStack, { bin, dir, plane }: Place): Promise<void> {
  const config = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clientConnection: { kubeconfig: plane.kubeconfig },
    clusterCIDR: POD_RANGE,
    hostnameOverride: NODE,
    // No ports of nodes on loopback: the rule that guards them would stay.
    iptables: { localhostNodePorts: false },
    healthzBindAddress: `127.0.0.1:${await freePort()}`,
    metricsBindAddress: `127.0.0.1:${await freePort()}`,
    // The machine's own limits stay as they are.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
  await writeFile(join(dir, 'proxy.json'), JSON.stringify(config));
  stack.defer(async () => {
    await mustRun(join(bin, 'kube-proxy'), ['--cleanup']);
  });
  stack.use(
    new ClusterProgram({
      command: join(bin, 'kube-proxy'),
      args: ['--config', join(dir, 'proxy.json')],
      logPath: join(dir, 'kube-proxy.log'),
    }),
  );
}

async function startKubelet(
  stack: AsyncDisposableStack,
  { bin, dir, plane, socket }: Place & { readonly socket: string },
): Promise<void> {
  await writeFile(join(dir, 'resolv.conf'), '');
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: GATEWAY,
    port: await freePort(),
    readOnlyPort: 0,
    healthzPort: 0,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    containerRuntimeEndpoint: `unix://${socket}`,
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    clusterDNS: [GATEWAY],
    clusterDomain: 'cluster.local',
    resolvConf: join(dir, 'resolv.conf'),
    enforceNodeAllocatable: [],
    // Its own chains would stay in the machine's tables; those of kube-proxy are enough.
    makeIPTablesUtilChains: false,
    // The disk is the machine's, not the node's own.
    imageGCHighThresholdPercent: 100,
    evictionHard: { 'memory.available': '1%', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    podLogsDir: join(dir, 'pod-logs'),
  };
  await writeFile(join(dir, 'kubelet.json'), JSON.stringify(config));
  const kubelet = stack.use(
    new ClusterProgram({
      command: join(bin, 'kubelet'),
      args: [
        `--config=${join(dir, 'kubelet.json')}`,
        `--kubeconfig=${plane.kubeconfig}`,
        `--hostname-override=${NODE}`,
        `--node-ip=${GATEWAY}`,
        `--root-dir=${join(dir, 'kubelet')}`,
        `--cert-dir=${join(dir, 'kubelet-certificates')}`,
      ],
      logPath: join(dir, 'kubelet.log'),
    }),
  );
  stack.defer(() => unmountBelow(dir));
  await kubelet.waitUntil('ready node', async () => {
    const { status } = (await plane.call('GET', `/api/v1/nodes/${NODE}`)) as NodeObject;
    return status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  });
}

interface NodeObject {
  readonly status: {
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}

/** Volumes in memory of pods that the kubelet had no time to end. */
async function unmountBelow(dir: string): Promise<void> {
  const mounts = (await readFile('/proc/mounts', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${dir}/`))
    .toReversed();
  for (const path of mounts) await mustRun('umount', ['--lazy', path]).catch(() => {});
}
