/** What the environment says besides `WEIR_*`: where other tools keep credentials, and which proxy to use. */
import { join } from 'node:path';
import type { CredentialSources, ProxyEnvironment } from '../values/config.ts';
import type { ConfigProblem } from './problem.ts';
import { maskUserInfo } from '../schema/addresses.ts';
import { Secret } from '../../lib/secret.ts';
import type { Env } from './variables.ts';

/** The environment of this process: the only place that reads it. */
export function processEnvironment(): Env {
  return process.env;
}

/** The value, with an empty variable counting as none. */
function get(env: Env, name: string): string | undefined {
  const value = env[name];
  return value === '' ? undefined : value;
}

/**
 * containers-auth.json(5) and the docker CLI, in the order in which podman looks: REGISTRY_AUTH_FILE replaces the
 * places of auth.json, DOCKER_CONFIG that of config.json.
 */
export function findCredentials(env: Env): CredentialSources {
  const home = get(env, 'HOME');
  const configHome = get(env, 'XDG_CONFIG_HOME') ?? (home === undefined ? undefined : join(home, '.config'));
  const authFile = get(env, 'REGISTRY_AUTH_FILE');
  const authDirectories = authFile === undefined ? [get(env, 'XDG_RUNTIME_DIR'), configHome] : [];
  const dockerConfig = get(env, 'DOCKER_CONFIG') ?? (home === undefined ? undefined : join(home, '.docker'));
  const inline = get(env, 'DOCKER_AUTH_CONFIG');
  const files = [
    authFile,
    ...authDirectories.map((directory) => directory && join(directory, 'containers', 'auth.json')),
    dockerConfig && join(dockerConfig, 'config.json'),
    home && join(home, '.dockercfg'),
  ];
  return {
    inline: inline === undefined ? undefined : new Secret(inline),
    files: files.filter((file) => file !== undefined),
  };
}

/** Lower-case names win, as in curl; a proxy without a scheme is http, as in Go. */
export function findProxies(env: Env): {
  readonly proxy: ProxyEnvironment;
  readonly problems: readonly ConfigProblem[];
} {
  const problems: ConfigProblem[] = [];
  const read = (name: string): Secret | undefined => {
    const found = [name.toLowerCase(), name].find((candidate) => get(env, candidate) !== undefined);
    const text = found === undefined ? undefined : get(env, found);
    if (found === undefined || text === undefined) return undefined;
    const url = text.includes('://') ? text : `http://${text}`;
    if (isProxyUrl(url)) return new Secret(url);
    problems.push({
      origin: { kind: 'variable', name: found },
      path: [],
      found: JSON.stringify(maskUserInfo(url)),
      problem: 'write the URL of an http or https proxy, like http://proxy.example:3128',
    });
    return undefined;
  };
  const noProxy = get(env, 'no_proxy') ?? get(env, 'NO_PROXY') ?? '';
  const entries = noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '');
  return { proxy: { http: read('HTTP_PROXY'), https: read('HTTPS_PROXY'), noProxy: entries }, problems };
}

function isProxyUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== '';
}
