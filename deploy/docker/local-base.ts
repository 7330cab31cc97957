/**
 * A base image made from this machine where no registry answers: the pinned Node, Debian's static busybox
 * for a shell, and the shared libraries that Node, DuckDB and Postgres load. Linux with apt only.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

const APPLETS = [
  'sh',
  'ls',
  'cat',
  'sleep',
  'rm',
  'mkdir',
  'printf',
  'ps',
  'kill',
  'id',
  'find',
  'du',
  'sha256sum',
  'wget',
];

/**
 * Copies a program and the shared libraries that it loads from the system into a root directory.
 * `target` is where the program goes, absolute inside the root; undefined copies libraries only.
 */
export function copyProgram(program: string, rootDir: string, target: string | undefined): void {
  if (target !== undefined) {
    const destination = path.join(rootDir, target);
    mkdirSync(path.dirname(destination), { recursive: true });
    copyFileSync(program, destination);
    chmodSync(destination, 0o755);
  }
  for (const library of sharedLibraries(program)) {
    const destination = path.join(rootDir, library);
    if (existsSync(destination)) continue;
    mkdirSync(path.dirname(destination), { recursive: true });
    copyFileSync(library, destination);
  }
}

/** The system libraries that `ldd` names; those a package brings along stay with the package. */
function sharedLibraries(program: string): string[] {
  let output: string;
  try {
    output = execFileSync('ldd', [program], { encoding: 'utf8' });
  } catch {
    return []; // A static program has none.
  }
  const paths = [...output.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].flatMap(
    (match) => match[1] ?? [],
  );
  return paths.filter((library) => /^\/(usr\/)?lib/.test(library));
}

export interface BaseLayout {
  readonly rootDir: string;
  readonly nodePath: string;
  /** Programs and libraries that run in the image and bring only a part of what they load. */
  readonly libraryUsers: readonly string[];
  /** For downloads. */
  readonly scratchDir: string;
}

/** Lays out the root file system of the base image. */
export function layOutBase({ rootDir, nodePath, libraryUsers, scratchDir }: BaseLayout): void {
  for (const dir of ['tmp', 'etc', 'bin', 'usr/local/bin', 'proc', 'sys', 'dev']) {
    mkdirSync(path.join(rootDir, dir), { recursive: true });
  }
  chmodSync(path.join(rootDir, 'tmp'), 0o1777);
  writeFileSync(
    path.join(rootDir, 'etc/passwd'),
    'root:x:0:0:root:/:/bin/sh\ntracelake:x:10001:10001:tracelake:/tmp:/bin/sh\n',
  );
  writeFileSync(path.join(rootDir, 'etc/group'), 'root:x:0:\ntracelake:x:10001:\n');
  writeFileSync(path.join(rootDir, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  copyProgram(nodePath, rootDir, 'usr/local/bin/node');
  for (const user of libraryUsers) copyProgram(user, rootDir, undefined);
  copyNameServiceLibraries(rootDir);
  const busybox = busyboxPath(scratchDir);
  copyFileSync(busybox, path.join(rootDir, 'bin/busybox'));
  chmodSync(path.join(rootDir, 'bin/busybox'), 0o755);
  for (const applet of APPLETS) symlinkSync('busybox', path.join(rootDir, 'bin', applet));
}

/** glibc loads these by name when a host name is resolved; ldd does not see them. */
function copyNameServiceLibraries(rootDir: string): void {
  const libDir = '/lib/x86_64-linux-gnu';
  if (!existsSync(libDir)) return;
  for (const name of readdirSync(libDir)) {
    if (!/^libnss_(dns|files)\.so|^libresolv\.so/.test(name)) continue;
    mkdirSync(path.join(rootDir, libDir), { recursive: true });
    copyFileSync(path.join(libDir, name), path.join(rootDir, libDir, name));
  }
}

function busyboxPath(scratchDir: string): string {
  const extractedDir = extractPackage('busybox-static', scratchDir);
  for (const candidate of ['bin/busybox', 'usr/bin/busybox']) {
    if (existsSync(path.join(extractedDir, candidate))) return path.join(extractedDir, candidate);
  }
  throw new Error('the package busybox-static has no busybox');
}

/** Downloads a Debian package and unpacks it without installing it; gives the directory. */
export function extractPackage(name: string, scratchDir: string): string {
  const apt = (...args: string[]) =>
    execFileSync('apt-get', args, { cwd: scratchDir, stdio: 'pipe' });
  try {
    apt('download', name);
  } catch {
    // The package lists may be absent or old.
    apt('update');
    apt('download', name);
  }
  const archive = readdirSync(scratchDir).find((file) => file.startsWith(`${name}_`));
  if (archive === undefined) throw new Error(`apt-get download ${name} left no package`);
  const extractedDir = path.join(scratchDir, name);
  execFileSync('dpkg', ['-x', path.join(scratchDir, archive), extractedDir], { stdio: 'pipe' });
  return extractedDir;
}
