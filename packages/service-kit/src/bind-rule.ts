import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether only programs of this machine reach a server bound to this address. */
export function isLoopback(bind: string): boolean {
  if (bind === 'localhost') return true;
  const version = isIP(bind);
  if (version === 0) return false;
  return loopback.check(bind, version === 4 ? 'ipv4' : 'ipv6');
}

export interface ExposureRule {
  readonly bind: string;
  readonly hasApiKeys: boolean;
  readonly allowAnonymous: boolean;
}

/** Why a server may not be exposed like this, or undefined when it may. */
export function findExposureProblem(rule: ExposureRule): string | undefined {
  if (rule.hasApiKeys || rule.allowAnonymous || isLoopback(rule.bind)) return undefined;
  return (
    `${rule.bind} is reachable from other machines and no API key is set: ` +
    'set TRACELAKE_API_KEYS, bind to 127.0.0.1, or accept it with TRACELAKE_ALLOW_ANONYMOUS=true'
  );
}
