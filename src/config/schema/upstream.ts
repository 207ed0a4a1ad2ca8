/** The keys of one upstream: everything below `upstreams.<name>`. */
import * as v from 'valibot';
import { parseRepository } from '../../oci/reference.ts';
import { parseHost, parseRealm, parseRegistryUrl, parseUrl } from './addresses.ts';
import { boolean, duration, integer, list, oneOf, path, rate, text } from '../values/leaf.ts';
import type { Parsed } from '../values/units.ts';

const variableName = '^[A-Za-z_][A-Za-z0-9_]*$';
const helperName = '^[A-Za-z0-9][A-Za-z0-9._-]*$';
const tagPattern = '^[A-Za-z0-9_.*?-]+$';

function matching(pattern: string, problem: string): (written: string) => Parsed<string> {
  const shape = new RegExp(pattern);
  return (written) => (shape.test(written) ? { value: written } : { problem });
}

function variable(meaning: string) {
  const parse = matching(variableName, 'write the name of an environment variable, never the secret itself');
  return text(meaning, 'variable', parse, { pattern: variableName });
}

function parseProxy(written: string): Parsed<string> {
  if (written === 'environment' || written === 'direct') return { value: written };
  const url = parseUrl(written);
  if ('value' in url) return url;
  const problem = url.problem.includes('password')
    ? 'a proxy that needs a password is set by HTTPS_PROXY or HTTP_PROXY in the environment'
    : 'write environment, direct, or the URL of a proxy like http://proxy.example:3128';
  return { problem };
}

function parsePrefix(written: string): Parsed<string> {
  const prefix = parseRepository(written);
  return prefix === undefined
    ? {
        problem:
          'write the first parts of a repository’s name, without slashes around them, like dockerhub or team/docker',
      }
    : { value: prefix };
}

const auth = v.strictObject({
  username: v.optional(
    text('User name, with `passwordFile` or `passwordEnv`.', 'text', (written) =>
      written === '' || /[:\p{Cc}]/u.test(written)
        ? { problem: 'write a user name, without a colon' }
        : { value: written },
    ),
  ),
  passwordFile: v.optional(
    path('File that holds the password or access token; read when it is needed, so it may be rotated.'),
  ),
  passwordEnv: v.optional(variable('Name of the environment variable that holds the password or access token.')),
  identityTokenFile: v.optional(
    path('File that holds an identity token (an OAuth2 refresh token), instead of a user name and password.'),
  ),
  identityTokenEnv: v.optional(variable('Name of the environment variable that holds an identity token.')),
  helper: v.optional(
    text(
      'Name of a Docker credential helper: `ecr-login` runs `docker-credential-ecr-login`, found on the PATH.',
      'text',
      matching(helperName, 'write the name after docker-credential-, like ecr-login'),
      { pattern: helperName },
    ),
  ),
});

const tags = v.strictObject({
  ttl: v.optional(duration('As `tags.ttl`, for this upstream.')),
  staleIfError: v.optional(duration('As `tags.staleIfError`, for this upstream.')),
});

const tls = v.strictObject({
  ca: v.optional(path('PEM file of authorities to trust for this upstream, besides the public ones.')),
  cert: v.optional(path('PEM file of a client certificate; needs `key`. What it can read, all clients of weir can.')),
  key: v.optional(path('PEM file of the private key of `cert`.')),
  insecureSkipVerify: v.optional(
    boolean('Do not check the certificates of this upstream’s own endpoints and listed hosts.'),
    false,
  ),
});

export const upstreamSchema = v.strictObject({
  url: v.optional(
    text(
      'Base URL. Default: `https://` and the upstream’s name; for `docker.io`, `https://registry-1.docker.io`.',
      'URL',
      parseRegistryUrl,
    ),
  ),
  endpoints: list(
    'Further base URLs that serve the same content, tried in this order when `url` fails.',
    text('A base URL.', 'URL', parseRegistryUrl),
  ),
  prefix: v.optional(
    text(
      'What stands before every repository’s name there: the project of a Harbor proxy cache, the prefix of an ECR ' +
        'pull-through rule, a GAR or Artifactory repository. With `dockerhub`, `library/nginx` is asked for as ' +
        '`dockerhub/library/nginx`; clients and the cache see the name without it.',
      'repository name',
      parsePrefix,
    ),
  ),
  default: v.optional(
    boolean(
      'Serves requests that name no upstream. At most one; if none says `true`, it is `docker.io`, unless that says `false`.',
    ),
  ),
  hosts: list(
    'Host headers that mean this upstream, for clients whose DNS or proxy leads them here; without a port, any port.',
    text('A host.', 'host', parseHost),
  ),
  access: v.optional(
    oneOf(
      'With a credential: `public` serves only repositories that an anonymous client could read upstream; `all` serves ' +
        'whatever the credential can read to whoever reaches weir.',
      ['public', 'all'],
    ),
    'public',
  ),
  auth: v.optional(
    v.pipe(
      auth,
      v.description(
        'Credential: a user name with a password, an identity token, or a helper. Secrets are files or named variables, never values.',
      ),
    ),
  ),
  tags: v.optional(v.pipe(tags, v.description('How long tags of this upstream count as fresh.')), {}),
  immutableTags: list(
    'Tags that never change once they are cached, as patterns with `*` and `?`, like `v*`.',
    text('A pattern.', 'pattern', matching(tagPattern, 'write a pattern of tag characters, * and ?, like v*'), {
      pattern: tagPattern,
    }),
  ),
  realms: list(
    'Token servers that may be sent the credential, besides the registry’s own: hosts or origins.',
    text('A host or an origin.', 'host or origin', parseRealm),
  ),
  allowHosts: list(
    'Hosts that redirects may lead to although their address is private, of this machine or link-local; without a port, any port.',
    text('A host.', 'host', parseHost),
  ),
  tls: v.optional(v.pipe(tls, v.description('How to trust this upstream, and be trusted by it.')), {}),
  proxy: v.optional(
    text(
      'Proxy for this upstream: `environment` follows HTTP_PROXY, HTTPS_PROXY and NO_PROXY, `direct` uses none, or a URL.',
      'URL, `environment` or `direct`',
      parseProxy,
    ),
    'environment',
  ),
  connections: v.optional(
    integer(
      'Blob transfers from this upstream at once, at most; shared out among client addresses. An eighth (of three or more, at least one) is never given to an address that has more than its share, even if it is alone: not every transfer can be given back. As many questions besides (manifests, lists, HEADs), and at least 8, are shared out likewise.',
      { min: 1, max: 1024 },
    ),
    64,
  ),
  headTimeout: v.optional(
    duration(
      'How long an answer may take to begin; clients wait as long. The next endpoint is asked beside after 8 s. Longer than ' +
        'the default for an upstream that fetches what it is asked for first: most clients wait on, containerd gives up after 30 s. At most 1h.',
      1000,
      3_600_000,
    ),
    '60s',
  ),
  bandwidth: v.optional(rate('Bytes per second from this upstream, over all blob transfers. Default: no limit.', 1024)),
});
