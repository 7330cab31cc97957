/**
 * Builds a small Kubernetes from its Go modules, for the tests that apply the chart to a real API server and run it
 * on a real node. Needs Go and its module proxy; takes about twenty minutes of two cores.
 *
 *   node_modules/.bin/node deploy/helm/build-kubernetes.ts --out DIR [--version v1.36.3] [--only PROGRAM]...
 *   TRACELAKE_TEST_KUBERNETES_BIN=DIR npm test -- kubernetes
 *
 * DIR gets the programs, and in DIR/crds the resource definitions of the operators whose objects the chart can make.
 */
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const KUBERNETES_VERSION = 'v1.35.4';
const COREDNS_VERSION = 'v1.14.4';

/** What an API server with its controllers is made of. */
export const CONTROL_PLANE_PROGRAMS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubectl',
] as const;
/** What a node needs besides containerd, runc and the plugins of its network. */
export const NODE_PROGRAMS = ['kubelet', 'kube-proxy', 'coredns'] as const;

export type KubernetesProgram =
  | (typeof CONTROL_PLANE_PROGRAMS)[number]
  | (typeof NODE_PROGRAMS)[number];

/** Resource definitions of operators, by Go module. */
const DEFINITIONS = [
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    files: ['servicemonitors', 'prometheusrules'].map(
      (name) => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
    ),
  },
  {
    module: 'github.com/kedacore/keda/v2@v2.21.0',
    files: ['config/crd/bases/keda.sh_scaledobjects.yaml'],
  },
  {
    module: 'sigs.k8s.io/gateway-api@v1.6.3',
    files: ['config/crd/standard/gateway.networking.k8s.io_httproutes.yaml'],
  },
];

/** A DNS server of the plugins that a cluster needs, without those of clouds. */
const COREDNS_MAIN = `package main

import (
	"log"
	"os"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	contents, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	input := caddy.CaddyfileInput{Contents: contents, Filepath: os.Args[1], ServerTypeName: "dns"}
	instance, err := caddy.Start(input)
	if err != nil {
		log.Fatal(err)
	}
	caddy.TrapSignals()
	instance.Wait()
}
`;

interface Request {
  readonly outDir: string;
  /** Of Kubernetes, as its tag says it. */
  readonly version: string;
  readonly programs: readonly string[];
}

async function buildKubernetes({ outDir, version, programs }: Request): Promise<void> {
  const sourceDir = path.join(outDir, 'source');
  await writeKubernetesModule(path.join(sourceDir, 'kubernetes'), version);
  await writeDnsModule(path.join(sourceDir, 'coredns'));
  for (const program of programs) {
    console.error(`${new Date().toISOString()} building ${program}`);
    const isDns = program === 'coredns';
    const cwd = path.join(sourceDir, isDns ? 'coredns' : 'kubernetes');
    const out = path.join(outDir, program);
    const flags = ['-trimpath', '-ldflags', `-s -w ${isDns ? '' : versionFlags(version)}`];
    await go(['build', ...flags, '-o', out, packageOf(program)], cwd);
  }
  await copyDefinitions(path.join(outDir, 'crds'));
}

function packageOf(program: string): string {
  if (program === 'coredns') return '.';
  if (program === 'etcd') return 'go.etcd.io/etcd/server/v3';
  return `k8s.io/kubernetes/cmd/${program}`;
}

/** Programs that do not know their version call themselves 0.0.0, which charts refuse. */
function versionFlags(version: string): string {
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)\./.exec(version) ?? [];
  return ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
    .flatMap((name) => [
      `-X ${name}.gitVersion=${version}`,
      `-X ${name}.gitMajor=${major}`,
      `-X ${name}.gitMinor=${minor}`,
    ])
    .join(' ');
}

/**
 * Kubernetes cannot be built as a dependency as it is: it takes its libraries from directories beside it. They are
 * published as modules too, with 0 for the first number, so a module of our own says where they are.
 */
async function writeKubernetesModule(dir: string, version: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const libraries = version.replace(/^v1/, 'v0');
  const { GoMod } = await downloadModule(`k8s.io/kubernetes@${version}`, dir);
  const text = (await readFile(GoMod, 'utf8'))
    .replace(/^module .*$/m, 'module tracelake-test-kubernetes')
    .replace('require (', `require (\n\tk8s.io/kubernetes ${version}`)
    .replaceAll(/^\t(k8s\.io\/\S+) v0\.0\.0$/gm, `\t$1 ${libraries}`)
    .replaceAll(/=> \.\/staging\/src\/(\S+)/g, `=> $1 ${libraries}`);
  await writeFile(path.join(dir, 'go.mod'), text);
}

async function writeDnsModule(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(path.join(dir, 'main.go'), COREDNS_MAIN);
  await writeFile(
    path.join(dir, 'go.mod'),
    `module tracelake-test-dns\n\ngo 1.25\n\nrequire github.com/coredns/coredns ${COREDNS_VERSION}\n`,
  );
  await go(['mod', 'tidy'], dir);
}

async function copyDefinitions(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const { module, files } of DEFINITIONS) {
    const { Dir } = await downloadModule(module, dir);
    for (const file of files) {
      // Written anew: files of the module cache are read-only.
      const text = await readFile(path.join(Dir, file));
      await writeFile(path.join(dir, path.basename(file)), text);
    }
  }
}

interface DownloadedModule {
  readonly Dir: string;
  readonly GoMod: string;
}

async function downloadModule(module: string, cwd: string): Promise<DownloadedModule> {
  return JSON.parse(await go(['mod', 'download', '-json', module], cwd)) as DownloadedModule;
}

/** Modules may be added to go.mod; nothing of the C library is linked, so that programs run in any image. */
const GO_ENVIRONMENT = { CGO_ENABLED: '0', GOFLAGS: '-mod=mod -buildvcs=false', GO111MODULE: 'on' };

function go(args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('go', args, {
      cwd,
      env: { ...process.env, ...GO_ENVIRONMENT },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      const text = Buffer.concat(output).toString();
      if (code === 0) resolve(text);
      else reject(new Error(`go ${args.slice(0, 2).join(' ')} ended with ${code}\n${text}`));
    });
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      version: { type: 'string', default: KUBERNETES_VERSION },
      only: { type: 'string', multiple: true },
    },
  });
  if (values.out === undefined) throw new Error('--out must name a directory');
  const programs = values.only ?? [...CONTROL_PLANE_PROGRAMS, ...NODE_PROGRAMS];
  const outDir = path.resolve(values.out);
  await buildKubernetes({ outDir, version: values.version, programs });
}
