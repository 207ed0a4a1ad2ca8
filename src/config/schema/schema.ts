/**
 * Every key of the configuration: its type, its default and its meaning. The parser, the variables, docs/configuration.md
 * and config/weir.schema.json are all made from this.
 */
import * as v from 'valibot';
import { keyPattern, parseHostName, parseListen, parseProxy } from './addresses.ts';
import { boolean, duration, integer, list, oneOf, path, size, sizeOrPercent, text } from '../values/leaf.ts';
import { upstreamSchema } from './upstream.ts';

const platformPattern = '^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$';

function group<const E extends v.ObjectEntries>(meaning: string, entries: E) {
  return v.pipe(v.strictObject(entries), v.description(meaning));
}

export const configSchema = v.strictObject({
  listen: v.optional(text('Where clients reach `/v2/`.', 'host:port', parseListen), '127.0.0.1:5000'),
  trustedProxies: list(
    'Proxies in front of `listen` whose `X-Forwarded-For` names the client: its last entry that is none of them. It decides whose share of connections and transfers a request takes, and no right.',
    text('An address or a network.', 'address or network', parseProxy),
  ),
  tls: v.optional(
    group('HTTPS on `listen`. Without it, plain HTTP.', {
      cert: path('PEM file of the certificate and its chain.'),
      key: path('PEM file of the private key.'),
    }),
  ),
  admin: v.optional(
    group('The second listener: `/metrics`, `/healthz`, `/readyz`, dashboard and admin API.', {
      listen: v.optional(text('Where the operator reaches weir.', 'host:port', parseListen), '127.0.0.1:5001'),
      hosts: list(
        'Names that reach the admin listener, as clients write them in Host: it answers to `localhost`, IP addresses and `admin.listen` without being told, and to no other name, because any web page can make its own name lead here.',
        text('A host name.', 'host name', parseHostName),
      ),
      tokenFile: v.optional(
        path(
          'File that holds the bearer token of the admin API and the dashboard; needed for them on an address that is not loopback.',
        ),
      ),
    }),
    {},
  ),
  cache: v.optional(
    group('What is kept, and where.', {
      root: v.optional(path('Directory of the cache, an OCI image layout; created when missing.'), './data'),
      maxSize: v.optional(
        size(
          'The most that the cache occupies on disk, everything counted. The least recently used content leaves first. At least 16MiB.',
          16 * 1024 ** 2,
        ),
        '50GiB',
      ),
      minFree: v.optional(
        sizeOrPercent(
          'What stays free on the file system of `cache.root`, as a size or as a share of that file system.',
          1024 ** 2,
        ),
        '5%',
      ),
    }),
    {},
  ),
  serve: v.optional(
    group('How clients are answered.', {
      keepAlive: v.optional(
        duration(
          'How long an idle connection of a client is kept. Longer than what the load balancer in front of weir keeps, mostly 10 minutes: whoever closes first breaks the next request of the other. At most 1d.',
          1000,
          86_400_000,
        ),
        '620s',
      ),
      threads: v.optional(
        integer(
          'Threads that serve clients, on one port (Linux). 0: as many as cores, at most 4. 1: the main thread serves them itself.',
          {
            min: 0,
            max: 64,
          },
        ),
        0,
      ),
    }),
    {},
  ),
  fill: v.optional(
    group('How content comes from an upstream.', {
      onAbandon: v.optional(
        oneOf(
          'When the last client of a transfer leaves: `finish` completes it, but at most 8 that one client address left last, and 32 in all; `keep` stops after 30 s and keeps the partial, unless at most 64 MiB remain. One that still waits for its turn ends at once.',
          ['finish', 'keep'],
        ),
        'finish',
      ),
      connections: v.optional(
        integer(
          'Connections for one blob, at most: as many as bring more. With 1, a range far ahead still takes a second one.',
          { min: 1, max: 64 },
        ),
        8,
      ),
      partialTtl: v.optional(duration('How long a partial is kept after its last byte.'), '24h'),
    }),
    {},
  ),
  prefetch: v.optional(
    group('Fetching the blobs of a manifest that a client has read, as soon as it asks for one of them.', {
      enabled: v.optional(boolean('Whether to do so.'), true),
      maxBytes: v.optional(size('Most to fetch so for one manifest, by the sizes that it states.', 0), '2GiB'),
      platforms: list(
        'Platforms of an index to prefetch, like `linux/amd64`. Not used yet: a client asks for the manifest of its own.',
        text(
          'A platform.',
          'os/arch[/variant]',
          (written) =>
            new RegExp(platformPattern).test(written)
              ? { value: written }
              : { problem: 'write a platform like linux/amd64 or linux/arm/v7' },
          { pattern: platformPattern },
        ),
      ),
    }),
    {},
  ),
  tags: v.optional(
    group('How long tags count as fresh. Content by digest never expires.', {
      ttl: v.optional(duration('A tag is served without asking its upstream for that long.'), '1m'),
      staleIfError: v.optional(
        duration('While an upstream is out of order, the last known answer is served for that long beyond `tags.ttl`.'),
        '30d',
      ),
    }),
    {},
  ),
  offline: v.optional(boolean('Never dial an upstream: serve what is cached, answer 503 for the rest.'), false),
  log: v.optional(
    group('JSON lines on standard output.', {
      level: v.optional(oneOf('The least important lines to write.', ['debug', 'info', 'warn', 'error']), 'info'),
      access: v.optional(boolean('One line for each request.'), true),
    }),
    {},
  ),
  credentials: v.optional(
    group('Credentials that other tools have stored, for upstreams without `auth`.', {
      dockerConfig: v.optional(
        text(
          '`off`; `auto`: the files that docker and podman use (`REGISTRY_AUTH_FILE` or `containers/auth.json`, then `DOCKER_CONFIG` or ' +
            '`~/.docker/config.json`), and `DOCKER_AUTH_CONFIG`; or the path of one such file, for example a mounted `.dockerconfigjson`.',
          'path, `auto` or `off`',
          (written) =>
            written === '' || written.includes('\0')
              ? { problem: 'write auto, off or the path of a file' }
              : { value: written },
        ),
        'off',
      ),
    }),
    {},
  ),
  builtinUpstreams: v.optional(
    boolean(
      'Whether the well-known public registries are there without being listed. An upstream of the same name replaces one.',
    ),
    true,
  ),
  upstreams: v.optional(
    v.pipe(
      v.record(
        // What is wrong with a name is said by `known-keys`.
        v.pipe(v.string(), v.metadata({ pattern: keyPattern })),
        upstreamSchema,
      ),
      v.description('The registries to cache, by name: its host, or a short name with a `url`.'),
    ),
    {},
  ),
});

/** What is written, checked and with its defaults; `resolve` makes a Config of it. */
export type Settings = v.InferOutput<typeof configSchema>;
export type UpstreamSettings = v.InferOutput<typeof upstreamSchema>;
