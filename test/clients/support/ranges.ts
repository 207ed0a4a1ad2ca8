/** The daemon as it is composed, over a scripted registry with one blob, and a client that asks for parts of that. */
import { expect } from 'vitest';
import { startDaemon } from '../../../src/daemon/daemon.ts';
import { type ByteSource, digestOfSource, randomSource } from '../../support/byte-source.ts';
import { configIn } from '../../support/config-file.ts';
import { eventually } from '../../support/gate.ts';
import { RawConnection, type RawResponse, rawFetch } from '../../support/raw-client.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { tempDirectory } from '../../support/temp.ts';

export const mib = 1024 * 1024;
export const repository = 'team/app';
/** Never to be seen by an upstream. */
const strangers = 'Basic c29tZWJvZHk6ZWxzZQ==';

export interface Part {
  /** `first-last`, as its Content-Range says it. */
  readonly range: string;
  readonly bytes: Buffer;
}

export interface LazySite extends AsyncDisposable {
  readonly upstream: ScriptedUpstream;
  readonly source: ByteSource;
  readonly digest: string;
  /** Of the blob, on weir: `/v2/team/app/blobs/sha256:…`. */
  readonly path: string;
  readonly origin: string;
  /** Parsed log lines. */
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  /** One request for the blob on a connection of its own. */
  ask(headers: Readonly<Record<string, string>>, method?: 'GET' | 'HEAD', query?: string): Promise<RawResponse>;
  /** A keep-alive connection that asks for one thing after the other. */
  connect(): Promise<LazyConnection>;
  /** Body bytes of this blob that the upstream has sent. */
  upstreamBytes(): number;
  /** GETs of this blob that the upstream has had, each by its Range header; `whole` for one without. */
  upstreamRanges(): readonly string[];
  /** Resolves when the blob is proved and stored. */
  stored(): Promise<void>;
  /** A line of /metrics without its name, summed over its labels. */
  metric(name: string): Promise<number>;
}

export interface LazyConnection extends Disposable {
  ask(headers: Readonly<Record<string, string>>, method?: 'GET' | 'HEAD'): Promise<RawResponse>;
}

/** `config` is merged over the fixture's own settings. */
export async function lazySite(sizeBytes: number, config: object = {}): Promise<LazySite> {
  const temp = await tempDirectory('lazy');
  const upstream = await ScriptedUpstream.start();
  const source = randomSource(sizeBytes, sizeBytes);
  const digest = upstream.content.addBlob(repository, source, digestOfSource(source));
  const loaded = await configIn(temp, {
    cache: { root: temp.file('cache'), maxSize: '4GiB', minFree: '1%' },
    upstreams: { lab: { url: upstream.url, default: true } },
    ...config,
  });
  const lines: Record<string, unknown>[] = [];
  const logTo = {
    write(text: string) {
      for (const line of text.trimEnd().split('\n')) lines.push(JSON.parse(line) as Record<string, unknown>);
    },
  };
  const daemon = await startDaemon(loaded, { logTo, ownsProcess: false, graceMs: 100 });
  const origin = `http://127.0.0.1:${daemon.addresses.registry.port}`;
  const path = `/v2/${repository}/blobs/${digest}`;
  const gets = { reference: digest, method: 'GET' };
  let asked = 0;
  /** Every other request brings what somebody has for another registry. */
  const withStrangers = (headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
    asked++ % 2 === 0 ? headers : { ...headers, Authorization: strangers };
  return {
    upstream,
    source,
    digest,
    path,
    origin,
    lines,
    ask: (headers, method = 'GET', query = '') =>
      rawFetch(`${origin}${path}${query}`, { method, headers: withStrangers(headers) }),
    connect: async () => {
      const connection = await RawConnection.open(origin);
      return {
        ask: async (headers, method = 'GET') => {
          connection.send(path, { method, headers: withStrangers(headers) });
          const head = await connection.head();
          return { ...head, ...(await connection.body(head, method)) };
        },
        [Symbol.dispose]: () => connection.close(),
      };
    },
    upstreamBytes: () => upstream.bytesSent(gets),
    upstreamRanges: () => upstream.matching(gets).map(({ headers }) => headers['range'] ?? 'whole'),
    stored: () =>
      eventually(async () => {
        const head = await rawFetch(`${origin}${path}`, { method: 'HEAD' });
        return head.headers['cache-status'] === 'weir; hit';
      }),
    metric: async (name) => {
      const { body } = await rawFetch(`http://127.0.0.1:${daemon.addresses.admin.port}/metrics`);
      const values = body
        .toString()
        .split('\n')
        .filter((line) => line.startsWith(name) && ' {'.includes(line[name.length] ?? ''));
      return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    },
    async [Symbol.asyncDispose]() {
      await daemon.stop();
      expect(upstream.requests.filter(({ headers }) => 'authorization' in headers)).toEqual([]);
      await upstream[Symbol.asyncDispose]();
      await temp[Symbol.asyncDispose]();
    },
  };
}

/** The bytes of `first-last` of the site's blob. */
export function bytesOf({ source }: LazySite, range: string): Buffer {
  const [first = NaN, last = NaN] = range.split('-').map(Number);
  return Buffer.from(source.bytes(first, last + 1));
}

/** Asserts a complete and right answer to the closed range `first-last`. */
export function expectPart(site: LazySite, range: string, answer: RawResponse): void {
  expect([answer.status, answer.headers['content-range'], answer.cleanEnd]).toEqual([
    206,
    `bytes ${range}/${site.source.sizeBytes}`,
    true,
  ]);
  expect(answer.body.equals(bytesOf(site, range))).toBe(true);
}

/** Takes multipart/byteranges apart as Go's mime/multipart does, which is what the clients do: by its delimiter lines. */
export function partsOf({ headers, body }: RawResponse): readonly Part[] {
  const [, boundary = ''] =
    /^multipart\/byteranges; boundary=([A-Za-z0-9]+)$/.exec(headers['content-type'] ?? '') ?? [];
  expect(boundary).not.toBe('');
  const parts: Part[] = [];
  let at = body.indexOf(`--${boundary}\r\n`);
  while (at !== -1) {
    const headStart = at + boundary.length + 4;
    const headEnd = body.indexOf('\r\n\r\n', headStart);
    const [, range = ''] =
      /^content-range: bytes ([0-9]+-[0-9]+)\//im.exec(body.toString('latin1', headStart, headEnd)) ?? [];
    const end = body.indexOf(`\r\n--${boundary}`, headEnd + 4);
    parts.push({ range, bytes: body.subarray(headEnd + 4, end) });
    at = body.indexOf(`--${boundary}\r\n`, end);
  }
  expect(body.subarray(-boundary.length - 8).toString('latin1')).toBe(`\r\n--${boundary}--\r\n`);
  return parts;
}
