import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { errorMessage, Secret } from '@tracelake/domain';
import type { EnvReader } from './env-reader.ts';

export interface ApiKey {
  /** Names the holder in logs. */
  readonly name: string;
  readonly key: Secret;
}

const NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const KEY = /^[\x21-\x2b\x2d-\x7e]{1,512}$/;

/**
 * Reads API keys: `name:key` pairs separated by commas, or the path of a file that has them one a line
 * (`#` begins a comment line). A value without a colon, or one that begins with `/`, `.` or `file:`,
 * is a path.
 */
export function readApiKeys(env: EnvReader, variable: string): readonly ApiKey[] {
  const text = env.optionalString(variable);
  if (text === undefined) return [];
  const source = isPath(text) ? readKeyFile(env, variable, text) : text;
  if (source === undefined) return [];
  const keys = parseApiKeys(source, (problem) => env.report(variable, problem));
  if (keys.length === 0) env.report(variable, 'names no key: expected name:key pairs or a file');
  return keys;
}

/** Finds who holds a key. Each comparison takes the same time whatever the key and whichever matches. */
export class ApiKeyRing {
  readonly #holders: readonly { readonly name: string; readonly digest: Buffer }[];

  constructor(keys: readonly ApiKey[]) {
    this.#holders = keys.map(({ name, key }) => ({ name, digest: digestOf(key.reveal()) }));
  }

  get isEmpty(): boolean {
    return this.#holders.length === 0;
  }

  findHolder(presented: string): string | undefined {
    const digest = digestOf(presented);
    let holder: string | undefined;
    for (const candidate of this.#holders) {
      if (timingSafeEqual(candidate.digest, digest)) holder ??= candidate.name;
    }
    return holder;
  }

  /** Takes an `Authorization` header's value; the scheme is `Bearer`, in any case. */
  findHolderOfHeader(authorization: string | undefined): string | undefined {
    const match = /^Bearer +(\S+) *$/i.exec(authorization ?? '');
    return match?.[1] === undefined ? undefined : this.findHolder(match[1]);
  }
}

function isPath(text: string): boolean {
  return /^(?:\/|\.|file:)/.test(text) || !text.includes(':');
}

function readKeyFile(env: EnvReader, variable: string, text: string): string | undefined {
  try {
    return readFileSync(text.startsWith('file:') ? fileURLToPath(text) : text, 'utf8');
  } catch (error) {
    env.report(variable, `names a file that cannot be read: ${errorMessage(error)}`);
    return undefined;
  }
}

function parseApiKeys(source: string, report: (problem: string) => void): ApiKey[] {
  const keys: ApiKey[] = [];
  const entries = source
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .flatMap((line) => line.split(','))
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  for (const [index, entry] of entries.entries()) {
    const colon = entry.indexOf(':');
    const name = entry.slice(0, Math.max(colon, 0));
    const key = entry.slice(colon + 1);
    // A malformed entry may be a bare key: reports give its place, never its text.
    if (colon < 1 || !NAME.test(name)) {
      report(`entry ${index + 1} is not name:key with a name of letters, digits, "_", "." or "-"`);
    } else if (!KEY.test(key)) {
      report(
        `entry ${index + 1} (${name}) has a key that is empty or not plain visible characters`,
      );
    } else if (keys.some((other) => other.name === name)) {
      report(`entry ${index + 1} repeats the name ${name}`);
    } else {
      keys.push({ name, key: new Secret(key) });
    }
  }
  return keys;
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
