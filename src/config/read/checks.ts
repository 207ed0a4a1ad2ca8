/** What a single key cannot know: keys that need or exclude each other, files and variables that must be there. */
import { hubAliases, hubKey } from '../../oci/known-registries.ts';
import { formatListen } from '../schema/addresses.ts';
import type { ListenAddress } from '../values/config.ts';
import { absolute, fileProblem, isOnPath, type Place } from './files.ts';
import type { Settings, UpstreamSettings } from '../schema/schema.ts';
import type { Path } from '../values/tree.ts';

export interface Contradiction {
  readonly path: Path;
  /** Another key that takes part; when that one is wrong by itself, there is nothing to say here. */
  readonly other?: Path;
  readonly value: unknown;
  readonly problem: string;
}

export function findContradictions(settings: Settings, place: Place): Contradiction[] {
  const upstreams = Object.entries(settings.upstreams);
  return [
    ...listeners(settings),
    ...missingFiles(settings, place),
    ...defaults(upstreams),
    ...names(upstreams),
    ...upstreams.flatMap(([key, upstream]) => credential(key, upstream, place)),
  ];
}

function listeners({ listen, admin }: Settings): Contradiction[] {
  const isWild = ({ host }: ListenAddress): boolean => host === '0.0.0.0' || host === '::';
  const isSamePort = listen.port !== 0 && listen.port === admin.listen.port;
  if (!isSamePort || !(listen.host === admin.listen.host || isWild(listen) || isWild(admin.listen))) return [];
  const value = formatListen(admin.listen);
  const problem = 'listen has that port already; take another one';
  return [{ path: ['admin', 'listen'], other: ['listen'], value, problem }];
}

function missingFiles(settings: Settings, place: Place): Contradiction[] {
  const { dockerConfig } = settings.credentials;
  const named: (readonly [Path, string | undefined])[] = [
    [['tls', 'cert'], settings.tls?.cert],
    [['tls', 'key'], settings.tls?.key],
    [['admin', 'tokenFile'], settings.admin.tokenFile],
    [['credentials', 'dockerConfig'], dockerConfig === 'auto' || dockerConfig === 'off' ? undefined : dockerConfig],
    ...Object.entries(settings.upstreams).flatMap(([key, { auth, tls }]) => [
      [['upstreams', key, 'auth', 'passwordFile'], auth?.passwordFile] as const,
      [['upstreams', key, 'auth', 'identityTokenFile'], auth?.identityTokenFile] as const,
      [['upstreams', key, 'tls', 'ca'], tls.ca] as const,
      [['upstreams', key, 'tls', 'cert'], tls.cert] as const,
      [['upstreams', key, 'tls', 'key'], tls.key] as const,
    ]),
  ];
  return named.flatMap(([path, value]) => {
    const problem = value === undefined ? undefined : fileProblem(absolute(value, place));
    return problem === undefined ? [] : [{ path, value, problem }];
  });
}

function defaults(upstreams: readonly (readonly [string, UpstreamSettings])[]): Contradiction[] {
  const [first, ...others] = upstreams.filter(([, upstream]) => upstream.default === true).map(([key]) => key);
  return others.map((key) => ({
    path: ['upstreams', key, 'default'],
    value: true,
    problem: `upstreams.${first ?? ''} is the default already; there can be only one`,
  }));
}

/** Every name leads to one upstream: keys, `host-port` for `host:port`, Docker Hub's other names, and Host headers. */
function names(upstreams: readonly (readonly [string, UpstreamSettings])[]): Contradiction[] {
  const keys = new Set(upstreams.map(([key]) => key));
  const found: Contradiction[] = [];
  const claims = new Map<string, string>();
  for (const [key, { hosts }] of upstreams) {
    const dashed = key.replace(/:([0-9]+)$/, '-$1');
    if (dashed !== key && keys.has(dashed)) {
      found.push({
        path: ['upstreams', dashed],
        value: undefined,
        problem: `this is also how upstreams.${key} is reached`,
      });
    }
    if (hubAliases.includes(key) && keys.has(hubKey)) {
      const problem = `this is another name of ${hubKey}; configure upstreams.${hubKey} instead`;
      found.push({ path: ['upstreams', key], value: undefined, problem });
    }
    for (const host of hosts) {
      const holder = keys.has(host) ? host : (claims.get(host) ?? key);
      if (holder !== key) {
        found.push({
          path: ['upstreams', key, 'hosts'],
          value: host,
          problem: `upstreams.${holder} has that host already`,
        });
      }
      claims.set(host, holder);
    }
  }
  return found;
}

/** One way to prove who we are, and complete. */
function credential(key: string, { auth, tls }: UpstreamSettings, place: Place): Contradiction[] {
  const found: Contradiction[] = [];
  const at = (path: Path, problem: string, value?: unknown): void => {
    found.push({ path: ['upstreams', key, ...path], value, problem });
  };
  if (tls.cert !== undefined && tls.key === undefined) at(['tls', 'key'], 'missing; tls.cert needs it');
  if (tls.key !== undefined && tls.cert === undefined) at(['tls', 'cert'], 'missing; tls.key needs it');
  if (auth === undefined) return found;

  const { username, passwordFile, passwordEnv, identityTokenFile, identityTokenEnv, helper } = auth;
  const hasPassword = passwordFile !== undefined || passwordEnv !== undefined;
  const hasToken = identityTokenFile !== undefined || identityTokenEnv !== undefined;
  const ways = [username !== undefined || hasPassword, hasToken, helper !== undefined].filter(Boolean).length;
  if (ways === 0)
    at(
      ['auth'],
      'write username with passwordFile or passwordEnv, or identityTokenFile or identityTokenEnv, or helper',
    );
  if (ways > 1) at(['auth'], 'write one of: a user name with its password, an identity token, a helper');
  if (passwordFile !== undefined && passwordEnv !== undefined)
    at(['auth'], 'write passwordFile or passwordEnv, not both');
  if (identityTokenFile !== undefined && identityTokenEnv !== undefined) {
    at(['auth'], 'write identityTokenFile or identityTokenEnv, not both');
  }
  if (username !== undefined && !hasPassword) at(['auth'], 'username needs passwordFile or passwordEnv');
  if (username === undefined && hasPassword) at(['auth', 'username'], 'missing; the password needs it');
  for (const [name, variable] of Object.entries({ passwordEnv, identityTokenEnv })) {
    if (variable !== undefined && (place.env[variable] ?? '') === '') {
      at(['auth', name], 'the variable of that name is not set in the environment of weir');
    }
  }
  if (helper !== undefined && !isOnPath(`docker-credential-${helper}`, place.env)) {
    at(['auth', 'helper'], `docker-credential-${helper} is not on the PATH`, helper);
  }
  return found;
}
