/**
 * Nodes without machines: they say that every pod the scheduler gives them runs and is ready, and that every job has
 * done its work. With them controllers, rollouts and hooks go their way where no kubelet can run.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlPlane, KubernetesObject } from './kube-control-plane.ts';

const LOOK_EVERY_MS = 250;

/** Makes one node for each zone. Pods end when the nodes are disposed of. */
export async function startPretendNodes(
  plane: ControlPlane,
  zones: readonly string[],
): Promise<AsyncDisposable> {
  for (const zone of zones) await addNode(plane, zone);
  const abort = new AbortController();
  const loop = (async () => {
    while (!abort.signal.aborted) {
      for (const pod of await plane.list('/api/v1/pods')) {
        // A pod may go between the look and the report.
        await report(plane, pod).catch(() => {});
      }
      await sleep(LOOK_EVERY_MS);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      abort.abort();
      await loop.catch(() => {});
    },
  };
}

async function addNode(plane: ControlPlane, zone: string): Promise<void> {
  const name = `node-${zone}`;
  const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone };
  const size = { cpu: '64', memory: '256Gi', pods: '250', 'ephemeral-storage': '1Ti' };
  await plane.call('POST', '/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
  });
  await plane.call('PATCH', `/api/v1/nodes/${name}/status`, {
    status: { capacity: size, allocatable: size, conditions: [{ type: 'Ready', status: 'True' }] },
  });
}

async function report(plane: ControlPlane, pod: KubernetesObject): Promise<void> {
  const { name, namespace, ownerReferences, deletionTimestamp } =
    pod.metadata as KubernetesObject['metadata'] & { readonly deletionTimestamp?: string };
  const { nodeName } = pod.spec ?? {};
  if (nodeName === undefined) return;
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  if (deletionTimestamp !== undefined) {
    await plane.call('DELETE', path, { gracePeriodSeconds: 0 });
  } else if (pod.status?.phase === 'Pending') {
    const isJob = ownerReferences?.some(({ kind }) => kind === 'Job') === true;
    await plane.call('PATCH', `${path}/status`, { status: isJob ? { phase: 'Succeeded' } : READY });
  }
}

const READY = {
  phase: 'Running',
  conditions: ['Ready', 'ContainersReady', 'Initialized', 'PodScheduled'].map((type) => ({
    type,
    status: 'True',
  })),
};
