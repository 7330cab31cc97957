import { Secret } from '@tracelake/domain';
import { ConfigError, type ConfigIssue } from './config-error.ts';
import { isKnownVariable, isKubernetesServiceLink } from './known-variables.ts';

/** What `process.env` is. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface NumberRange {
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

export interface UrlRule {
  /** Accepted schemes without the colon: `['postgres', 'postgresql']`. */
  readonly schemes: readonly string[];
  readonly default?: string;
}

/**
 * Reads an environment into a configuration in one pass. A bad or missing variable is noted and a
 * stand-in returned, so that `finish()` can name all of them at once. An empty value counts as unset.
 */
export class EnvReader {
  readonly #env: Environment;
  readonly #issues: ConfigIssue[] = [];
  readonly #warnings: ConfigIssue[] = [];
  readonly #names = new Set<string>();

  constructor(env: Environment) {
    this.#env = env;
  }

  /** Text; required when no default is given. */
  string(name: string, options: { readonly default?: string } = {}): string {
    const value = this.optionalString(name) ?? options.default;
    if (value === undefined) this.report(name, 'is required');
    return value ?? '';
  }

  optionalString(name: string): string | undefined {
    this.#names.add(name);
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  /** A whole number within the range, both ends included. */
  integer(name: string, range: NumberRange): number {
    const text = this.optionalString(name);
    if (text === undefined) return range.default;
    if (/^\d{1,15}$/.test(text) && isWithin(Number(text), range)) return Number(text);
    this.report(
      name,
      `must be a whole number from ${range.min} to ${range.max}, not ${quote(text)}`,
    );
    return range.default;
  }

  /** A number with an optional fraction; the variable's name ends in its unit. */
  decimal(name: string, range: NumberRange): number {
    const text = this.optionalString(name);
    if (text === undefined) return range.default;
    if (/^\d{1,15}(?:\.\d{1,9})?$/.test(text) && isWithin(Number(text), range)) return Number(text);
    this.report(name, `must be a number from ${range.min} to ${range.max}, not ${quote(text)}`);
    return range.default;
  }

  boolean(name: string, options: { readonly default: boolean }): boolean {
    const text = this.optionalString(name)?.toLowerCase();
    if (text === undefined) return options.default;
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0') return false;
    this.report(name, `must be true or false, not ${quote(text)}`);
    return options.default;
  }

  oneOf<T extends string>(name: string, values: readonly T[], options: { readonly default: T }): T {
    const text = this.optionalString(name);
    if (text === undefined) return options.default;
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) {
      this.report(name, `must be one of ${values.join(', ')}, not ${quote(text)}`);
    }
    return value ?? options.default;
  }

  /** Comma-separated texts, trimmed, empty ones dropped. */
  list(name: string, options: { readonly default: readonly string[] }): readonly string[] {
    const text = this.optionalString(name);
    if (text === undefined) return options.default;
    return text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  }

  /**
   * A TCP port; 0 lets the system choose. Kubernetes injects `tcp://host:port` under the same name
   * beside a Service called so: such a value is ignored with a warning.
   */
  port(name: string, options: { readonly default: number }): number {
    const text = this.optionalString(name);
    if (text !== undefined && /^(?:tcp|udp|sctp):\/\//.test(text)) {
      this.warn(name, 'is a Kubernetes service link and is ignored: set enableServiceLinks: false');
      return options.default;
    }
    return this.integer(name, { default: options.default, min: 0, max: 65_535 });
  }

  url(name: string, rule: UrlRule): string {
    const text = this.optionalString(name) ?? rule.default;
    if (text === undefined) {
      this.report(name, `is required (${rule.schemes.join(':// or ')}://...)`);
      return '';
    }
    if (!hasScheme(text, rule.schemes)) {
      // The value may hold a password, so the report does not repeat it.
      this.report(name, `must be a URL that begins with ${rule.schemes.join(':// or ')}://`);
    }
    return text;
  }

  /** URLs of the members of a cluster, separated by commas, that may hold a password. */
  secretUrls(name: string, rule: UrlRule): Secret {
    const text = this.optionalString(name) ?? rule.default;
    const urls = (text ?? '').split(',').map((url) => url.trim());
    if (text === undefined) {
      this.report(name, `is required (${rule.schemes.join(':// or ')}://...)`);
    } else if (!urls.every((url) => hasScheme(url, rule.schemes))) {
      const schemes = rule.schemes.join(':// or ');
      this.report(name, `must be URLs that begin with ${schemes}://, separated by commas`);
    }
    return new Secret(urls.join(','));
  }

  /** A URL that may hold a password. */
  secretUrl(name: string, rule: UrlRule): Secret {
    return new Secret(this.url(name, rule));
  }

  /** Notes a variable that cannot be used; `finish()` throws it with the others. */
  report(variable: string, problem: string): void {
    this.#issues.push({ variable, problem });
  }

  warn(variable: string, problem: string): void {
    this.#warnings.push({ variable, problem });
  }

  /**
   * Ends the reading. Throws a ConfigError that lists every issue; otherwise returns the warnings,
   * unknown `TRACELAKE_*` names among them.
   */
  finish(): readonly ConfigIssue[] {
    if (this.#issues.length > 0) throw new ConfigError(this.#issues);
    return [...this.#warnings, ...this.#unknownVariables()];
  }

  #unknownVariables(): ConfigIssue[] {
    const unknown: ConfigIssue[] = [];
    for (const name of Object.keys(this.#env)) {
      if (!name.startsWith('TRACELAKE_')) continue;
      if (this.#names.has(name) || isKnownVariable(name)) continue;
      if (isKubernetesServiceLink(name)) continue;
      unknown.push({ variable: name, problem: 'is not a variable of Tracelake and is ignored' });
    }
    return unknown;
  }
}

function isWithin(value: number, range: NumberRange): boolean {
  return value >= range.min && value <= range.max;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text);
}

function hasScheme(text: string, schemes: readonly string[]): boolean {
  return URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1));
}
