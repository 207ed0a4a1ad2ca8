import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { parseV2Request } from '../../src/oci/v2-request.ts';

const digest = digestOf('x');

/** The outcome in one line: the kind and its parts, or the error's status and code. */
function outcome(target: string, method = 'GET', host?: string): string {
  const request = parseV2Request(method, target, host);
  switch (request.kind) {
    case 'invalid':
      return `${request.error.status} ${request.error.code}`;
    case 'manifest':
      return `manifest ${request.name} ${request.reference.kind === 'tag' ? request.reference.tag : request.reference.digest}`;
    case 'blob':
      return `blob ${request.name} ${request.digest}`;
    case 'tags':
      return `tags ${request.name} ${request.n ?? '-'} ${request.last ?? '-'}`;
    case 'referrers':
      return `referrers ${request.name} ${request.digest} ${request.artifactType ?? '-'} ${request.n ?? '-'}`;
    case 'catalog':
      return `catalog ${request.n ?? '-'} ${request.last ?? '-'}`;
    case 'upload':
      return `upload ${request.name}`;
    case 'push':
      return `push ${request.route} ${request.name ?? '-'}`;
    case 'ping':
      return 'ping';
  }
}

describe('v2 request', () => {
  it.each([
    ['/v2', 'ping'],
    ['/v2/', 'ping'],
    ['/v2/?ns=docker.io', 'ping'],
    ['/v2/a/manifests/latest', 'manifest a latest'],
    [`/v2/a/b/manifests/${digest}`, `manifest a/b ${digest}`],
    [`/v2/a/manifests/${digest.replace(':', '%3A')}`, `manifest a ${digest}`],
    [`/v2/a/manifests/${digest.replace(':', '%3a')}`, `manifest a ${digest}`],
    [`/v2/a/blobs/${digest}`, `blob a ${digest}`],
    ['/v2/localhost:5000/a/manifests/v1', 'manifest localhost:5000/a v1'],
    ['/v2/bartowski/Llama-3.2-1B-GGUF/manifests/Q4_K_M', 'manifest bartowski/Llama-3.2-1B-GGUF Q4_K_M'],
    // Names that look like routes.
    ['/v2/library/manifests/manifests/latest', 'manifest library/manifests latest'],
    ['/v2/manifests/manifests/manifests', 'manifest manifests manifests'],
    [`/v2/x/blobs/uploads/blobs/${digest}`, `blob x/blobs/uploads ${digest}`],
    ['/v2/a/manifests/tags/list', 'tags a/manifests - -'],
    ['/v2/tags/tags/list', 'tags tags - -'],
    ['/v2/a/tags/list/manifests/list', 'manifest a/tags/list list'],
    // Lists.
    ['/v2/a/tags/list?n=5&last=v1', 'tags a 5 v1'],
    ['/v2/a/tags/list?n=0', 'tags a 0 -'],
    ['/v2/a/tags/list?n=&last=', 'tags a - -'],
    ['/v2/_catalog?n=3', 'catalog 3 -'],
    [`/v2/a/referrers/${digest}?artifactType=application%2Fx%2Bjson&n=1`, `referrers a ${digest} application/x+json 1`],
    [`/v2/a/referrers/${digest}`, `referrers a ${digest} - -`],
    [`/v2/a/referrers/${digest}?artifactType=`, `referrers a ${digest} - -`],
    [`/v2/a/referrers/${digest}?artifactType=x%2Fy&artifactType=x%2Fz`, `referrers a ${digest} - -`],
    // Uploads, with and without a session.
    ['/v2/a/blobs/uploads/', 'upload a'],
    ['/v2/a/blobs/uploads', 'upload a'],
    ['/v2/a/b/blobs/uploads/5f1c?_state=x', 'upload a/b'],
  ])('%s is %s', (target, expected) => expect(outcome(target)).toBe(expected));

  it.each([
    ['/', '404 UNSUPPORTED'],
    ['', '404 UNSUPPORTED'],
    ['*', '404 UNSUPPORTED'],
    ['/v1/_ping', '404 UNSUPPORTED'],
    ['/v2x', '404 UNSUPPORTED'],
    ['/v2/a', '404 UNSUPPORTED'],
    ['/v2/a/manifests', '404 UNSUPPORTED'],
    ['/v2/a/manifests/', '404 UNSUPPORTED'],
    ['/v2/a/manifests/latest/', '404 UNSUPPORTED'],
    ['/v2/manifests/latest', '404 UNSUPPORTED'],
    ['/v2/tags/list', '404 UNSUPPORTED'],
    ['/v2/_catalog/', '404 UNSUPPORTED'],
    ['/v2/_oci/ext/discover', '404 UNSUPPORTED'],
    ['/v2/a_/manifests/latest', '400 NAME_INVALID'],
    ['/v2/_catalog/manifests/latest', '400 NAME_INVALID'],
    ['/v2/a/b:5000/manifests/latest', '400 NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/manifests/latest`, '400 NAME_INVALID'],
    ['/v2//a/manifests/latest', '400 NAME_INVALID'],
    ['//v2/a/manifests/latest', '404 UNSUPPORTED'],
    ['/v2/a//manifests/latest', '400 NAME_INVALID'],
    ['/v2/a/../b/manifests/latest', '400 NAME_INVALID'],
    ['/v2/../../etc/passwd', '400 NAME_INVALID'],
    ['/v2/a/manifests/..', '400 NAME_INVALID'],
    ['/v2/a/manifests/.', '400 NAME_INVALID'],
    ['/v2/a%2Fb/manifests/latest', '400 NAME_INVALID'],
    ['/v2/a/manifests/%6catest', '400 NAME_INVALID'],
    [`/v2/a/blobs/sha256%253A${'0'.repeat(64)}`, '400 NAME_INVALID'],
    [`/v2/a/blobs/sha256%3A%3A${'0'.repeat(64)}`, '400 NAME_INVALID'],
    ['/v2/localhost%3A5000/a/manifests/v1', '400 NAME_INVALID'],
    ['/v2/a\\b/manifests/latest', '400 NAME_INVALID'],
    ['/v2/a/manifests/.bad', '404 MANIFEST_UNKNOWN'],
    ['/v2/a/manifests/a+b', '404 MANIFEST_UNKNOWN'],
    [`/v2/a/manifests/${'x'.repeat(129)}`, '404 MANIFEST_UNKNOWN'],
    ['/v2/a/manifests/sha256:totallywrong', '400 DIGEST_INVALID'],
    ['/v2/a/blobs/latest', '400 DIGEST_INVALID'],
    ['/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e', '400 DIGEST_INVALID'],
    ['/v2/a/referrers/latest', '400 DIGEST_INVALID'],
    ['/v2/a/tags/list?n=-1', '400 PAGINATION_NUMBER_INVALID'],
    ['/v2/a/tags/list?n=1.5', '400 PAGINATION_NUMBER_INVALID'],
    ['/v2/a/tags/list?n=many', '400 PAGINATION_NUMBER_INVALID'],
    ['/v2/_catalog?n=99999999999999999999', '400 PAGINATION_NUMBER_INVALID'],
    [`/v2/a/referrers/${digest}?n=x`, '400 PAGINATION_NUMBER_INVALID'],
  ])('%s is refused with %s', (target, expected) => expect(outcome(target)).toBe(expected));

  it('accepts an absolute target for its own host only', () => {
    expect(outcome('http://weir:5000/v2/', 'GET', 'Weir:5000')).toBe('ping');
    expect(outcome('HTTPS://weir/v2/a/tags/list?n=1', 'GET', 'weir')).toBe('tags a 1 -');
    expect(outcome('http://thief/v2/', 'GET', 'weir')).toBe('400 NAME_INVALID');
    expect(outcome('http://weir@thief/v2/', 'GET', 'weir')).toBe('400 NAME_INVALID');
    expect(outcome('http://weir/v2/')).toBe('400 NAME_INVALID');
  });

  it('names the route that a writing method aims at', () => {
    expect(outcome('/v2/a/manifests/v1', 'PUT')).toBe('push manifest a');
    expect(outcome(`/v2/a/blobs/${digest}`, 'DELETE')).toBe('push blob a');
    expect(outcome('/v2/', 'POST')).toBe('push ping -');
    expect(outcome('/v2/a/tags/list', 'get')).toBe('push tags a');
    expect(outcome('/v2/a/blobs/uploads/', 'POST')).toBe('upload a');
    expect(outcome('/v2/a/manifests/v1', 'HEAD')).toBe('manifest a v1');
    expect(outcome('/v2/a/manifests/.bad', 'PUT')).toBe('400 TAG_INVALID');
  });

  it('keeps every ns', () => {
    expect(parseV2Request('GET', '/v2/a/manifests/v1?ns=docker.io&x=1&ns=quay.io%3A443&x=2')).toMatchObject({
      ns: ['docker.io', 'quay.io:443'],
      method: 'GET',
    });
  });

  it('answers with a message of bounded size', () => {
    const request = parseV2Request('GET', `/v2/a/manifests/${'+'.repeat(100_000)}`);
    expect(request.kind === 'invalid' ? request.error.body().length : 0).toBeLessThan(1000);
  });
});

/** An independent reading of the same rules: one expression per route, tried in the order in which suffixes may overlap. */
function reference(target: string): string {
  const path = target.split('?')[0] ?? '';
  if (path === '/v2' || path === '/v2/') return 'ping';
  if (path === '/v2/_catalog') return 'catalog';
  const routes: readonly (readonly [string, RegExp])[] = [
    ['upload', /^\/v2\/(.+)\/blobs\/uploads(?:\/[^/]*)?$/],
    ['tags', /^\/v2\/(.+)\/tags\/list$/],
    ['manifest', /^\/v2\/(.+)\/manifests\/([^/]+)$/],
    ['blob', /^\/v2\/(.+)\/blobs\/([^/]+)$/],
    ['referrers', /^\/v2\/(.+)\/referrers\/([^/]+)$/],
  ];
  const component = '[A-Za-z0-9]+(?:(?:\\.|_|__|-+)[A-Za-z0-9]+)*';
  const name = new RegExp(`^(?:${component}:[0-9]{1,5}/)?${component}(?:/${component})*$`);
  for (const [kind, pattern] of routes) {
    const match = pattern.exec(path);
    if (match === null || !name.test(match[1] ?? '') || (match[1] ?? '').length > 255) continue;
    const last = (match[2] ?? '').replace(/%3a/i, ':');
    const isDigest = /^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$/.test(last);
    const isTag = /^\w[\w.-]{0,127}$/.test(last);
    const wholePathPlain = !path.slice(0, path.lastIndexOf('/')).includes('%');
    if (
      kind === 'upload' &&
      !/%/.test(path.slice(path.lastIndexOf('/')).replace(/%3a/i, '')) &&
      wholePathPlain &&
      !/\/\.{1,2}$/.test(path)
    )
      return `upload ${match[1]}`;
    if (kind === 'tags') return `tags ${match[1]}`;
    if (kind === 'manifest' && (isDigest || isTag) && last !== '..') return `manifest ${match[1]} ${last}`;
    if ((kind === 'blob' || kind === 'referrers') && isDigest) return `${kind} ${match[1]} ${last}`;
  }
  return 'refused';
}

describe('v2 request, any target', () => {
  const segment = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        'a',
        'manifests',
        'blobs',
        'tags',
        'list',
        'uploads',
        'referrers',
        'latest',
        '_catalog',
      ),
    },
    fc.constantFrom('', '.', '..', 'a:5000', 'A', 'a_', '%3A', 'a%2Fb', digest, digest.replace(':', '%3A'), 'sha256:x'),
    fc.string({ maxLength: 5 }),
  );
  const target = fc.oneof(
    { weight: 4, arbitrary: fc.array(segment, { maxLength: 6 }).map((parts) => `/v2/${parts.join('/')}`) },
    fc.string({ unit: 'binary' }),
  );
  /** The outcome without what the reference does not model. */
  const comparable = (text: string): string => {
    const request = parseV2Request('GET', text);
    if (request.kind === 'invalid') return 'refused';
    return outcome(text).replace(/^(tags|catalog|referrers \S+ \S+) .*/, (whole, head: string) =>
      head === 'tags' ? `tags ${whole.split(' ')[1] ?? ''}` : head,
    );
  };

  it('reads every target as the reference does, and never throws', () => {
    let accepted = 0;
    fc.assert(
      fc.property(target, (text) => {
        const expected = reference(text);
        if (expected !== 'refused') accepted++;
        expect(comparable(text)).toBe(expected);
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
