/**
 * Scenario: the lines of the runbooks that no test can run here, those for kubectl and helm, against what the chart renders.
 * Guarantees: they name deployments, services, secrets, claims, labels, paths and values that are there, in the right
 * namespace; placeholders are explained; manifests that a page makes of the chart's own are what they should be.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isKnownVariable } from '@tracelake/service-kit';
import { parseAllDocuments } from 'yaml';
import { findHelm, findTool, runTool } from './harness/helm-tool.ts';
import { type CommandLine, readCommandLines, readFences } from './harness/runbook-lines.ts';
import { RUNBOOK_DIRECTORY } from './harness/runbook-run.ts';

const chartDir = join(RUNBOOK_DIRECTORY, '../helm/tracelake');
const EXAMPLES = ['dev', 'one-zone', 'three-zone'];
const helm = await findHelm();
const jq = await findTool(['jq'], ['--version']);
const lines = await readCommandLines(RUNBOOK_DIRECTORY);
const kubectlLines = lines.filter(({ words }) => words[0] === 'kubectl');
const helmLines = lines.filter(({ words }) => words[0] === 'helm');

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

async function render(...args: string[]) {
  assert.ok(helm);
  const fixed = ['template', 'tracelake', chartDir, '-n', 'tracelake', '--kube-version', '1.33'];
  return await runTool(helm.command, [...fixed, ...args]);
}

test('there are lines for kubectl and for helm, each with the namespace of the install page', () => {
  assert.ok(kubectlLines.length > 50, `${kubectlLines.length} lines`);
  assert.ok(helmLines.length > 5, `${helmLines.length} lines`);
  for (const { words, where } of [...kubectlLines, ...helmLines]) {
    const text = words.join(' ');
    if (/^kubectl (create namespace tracelake|apply -f -)$/.test(text)) continue;
    assert.match(text, / -n (tracelake|nats) ?/, `${where}: ${text}`);
  }
});

test('what has to be put in is written in capitals and explained on its page or in the index', async () => {
  const index = await readFile(join(RUNBOOK_DIRECTORY, 'README.md'), 'utf8');
  const operators = new Set(['kubectl', 'helm', 'aws']);
  let checked = 0;
  for (const { words, where, page } of lines.filter((line) => operators.has(line.words[0] ?? ''))) {
    const prose = `${page}\n${index}`.replaceAll(/^```[\s\S]*?^```$/gm, '');
    for (const [placeholder] of words.join(' ').matchAll(/(?<![\w$.-])[A-Z][A-Z_]+(?![\w=])/g)) {
      assert.ok(prose.includes(`\`${placeholder}\``), `${where}: ${placeholder} is not explained`);
      checked += 1;
    }
  }
  assert.ok(checked > 20, `${checked} placeholders`);
});

describe('against the chart', { skip: helm === undefined && 'helm is not installed' }, () => {
  let objects: readonly KubernetesObject[] = [];
  let text = '';

  before(async () => {
    for (const example of EXAMPLES) {
      const rendered = await render('-f', join(chartDir, `examples/${example}.yaml`));
      assert.ok(rendered.ok, rendered.output);
      text += rendered.stdout;
    }
    objects = parseAllDocuments(text)
      .map((document) => document.toJS() as KubernetesObject | null)
      .filter((object) => object !== null);
  });

  const KINDS: Readonly<Record<string, string>> = {
    ...{ deployment: 'Deployment', statefulset: 'StatefulSet', service: 'Service' },
    ...{ pvc: 'PersistentVolumeClaim', cronjob: 'CronJob' },
  };
  /** Of other charts, in a namespace of theirs; or an operator's own bucket of pods. */
  const isOther = ({ words }: CommandLine) => words.includes('nats');

  test('names of deployments, services and claims are those that it renders', () => {
    const names = new Set(objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`));
    let checked = 0;
    for (const line of kubectlLines) {
      if (isOther(line)) continue;
      const named = line.words
        .join(' ')
        .matchAll(/\b(deployment|statefulset|service|pvc|cronjob)[/ ]([a-z][a-z0-9-]+)/g);
      for (const [, kind = '', name] of named) {
        assert.ok(names.has(`${KINDS[kind]} ${name}`), `${line.where}: no ${kind} ${name}`);
        checked += 1;
      }
    }
    assert.ok(checked > 30, `${checked} names`);
  });

  test('labels, secrets, paths and images are those that it renders', () => {
    const labels = new Set(
      objects.flatMap(({ metadata }) =>
        Object.entries(metadata.labels ?? {}).map((pair) => pair.join('=')),
      ),
    );
    for (const line of kubectlLines) {
      if (isOther(line)) continue;
      const { words, where } = line;
      for (const word of words.filter((one) => one.startsWith('app.kubernetes.io/'))) {
        assert.ok(labels.has(word), `${where}: ${word}`);
      }
      const secret = words[words.indexOf('generic') + 1] ?? '';
      if (words.includes('generic'))
        assert.match(text, new RegExp(`(name|secretName): ${secret}\\b`), where);
      if (words.includes('exec') && words.includes('--')) {
        for (const path of words.filter((one) => /^\/(data|tmp)\b/.test(one))) {
          const mount = path.split('/').slice(0, 2).join('/');
          assert.match(text, new RegExp(`mountPath: ${mount}\\b`), `${where}: ${path}`);
        }
      }
      for (const [, image] of words.join(' ').matchAll(/REGISTRY\/([a-z-]+):/g)) {
        assert.match(text, new RegExp(`image: "${image}:`), `${where}: ${image}`);
      }
    }
  });

  test('helm lines have values that the chart takes and variables that the services know', async () => {
    for (const { words, where } of helmLines) {
      for (const [index, word] of words.entries()) {
        if (!/^--set(-string)?$/.test(word)) continue;
        const values = words[index + 1] ?? '';
        const { ok, output } = await render(
          '-f',
          join(chartDir, 'examples/one-zone.yaml'),
          word,
          values,
        );
        assert.ok(ok, `${where}: ${output}`);
        const variable = /\.env\.([A-Z_]+)=/.exec(values)?.[1];
        if (variable !== undefined) assert.ok(isKnownVariable(variable), `${where}: ${variable}`);
      }
      if (['upgrade', 'rollback', 'uninstall', 'history'].includes(words[1] ?? '')) {
        assert.ok(words.includes('tracelake'), `${where} names the release`);
      }
    }
  });

  describe('manifests that are made of a deployment', {
    skip: jq === undefined && 'jq is not installed',
  }, () => {
    let scratch = '';
    before(async () => {
      scratch = await mkdtemp(join(tmpdir(), 'tracelake-manifests-'));
      await mkdir(join(scratch, 'bin'));
      await writeStandIn(join(scratch, 'bin/kubectl'), scratch);
      for (const object of objects.filter(({ kind }) => kind === 'Deployment')) {
        await writeFile(join(scratch, `${object.metadata.name}.json`), JSON.stringify(object));
      }
    });
    after(() => rm(scratch, { recursive: true, force: true }));

    test('README.md makes a pod of the command line, confined and with the settings of the service', async () => {
      const page = await readFile(join(RUNBOOK_DIRECTORY, 'README.md'), 'utf8');
      const block = readFences(page).find((text) => text.includes('"Pod"')) ?? assert.fail();
      const env = { PATH: `${join(scratch, 'bin')}:${process.env.PATH}` };
      const child = spawn('bash', ['--norc', '-euo', 'pipefail', '-c', block], {
        cwd: scratch,
        env,
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      assert.deepEqual(await once(child, 'exit'), [0, null]);
      const made = JSON.parse(await readFile(join(scratch, 'applied.json'), 'utf8'));
      assert.equal(made.kind, 'Pod');
      assert.equal(made.metadata.name, 'tracelake-cli');
      const pod = made.spec;
      const [container] = pod.containers;
      assert.match(container.image, /tracelake-cli:/);
      assert.equal(pod.securityContext.runAsNonRoot, true);
      assert.equal(container.securityContext.readOnlyRootFilesystem, true);
      assert.equal(pod.enableServiceLinks, false);
      assert.ok(container.resources.limits.memory);
      const names = (container.env as { name: string }[]).map((one) => one.name);
      for (const wanted of ['TRACELAKE_DATABASE_URL', 'TRACELAKE_OBJECT_STORE_URL']) {
        assert.ok(names.includes(wanted), wanted);
      }
      const volumes = (pod.volumes as { name: string }[]).map((one) => one.name);
      for (const mount of container.volumeMounts) assert.ok(volumes.includes(mount.name));
      const labels = made.metadata.labels ?? {};
      assert.notEqual(
        labels['app.kubernetes.io/component'],
        'ingest',
        'no service sends it requests',
      );
    });
  });
});

/** `get deployment NAME -o json` answers what the chart renders; `apply` keeps what it is given. */
async function writeStandIn(file: string, directory: string): Promise<void> {
  const script = `#!/bin/sh
case "$*" in
  *"get deployment"*) for word; do [ -f "${directory}/$word.json" ] && cat "${directory}/$word.json"; done; true;;
  *apply*) cat > "${directory}/applied.json";;
esac
`;
  await writeFile(file, script);
  await chmod(file, 0o755);
}
