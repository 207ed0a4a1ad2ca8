/** The right answer of a registry, before any behaviour is applied to it. */
import type { ByteSource } from '../byte-source.ts';
import { sourceOf } from '../byte-source.ts';
import type { RangeAnswer } from './behaviour.ts';
import type { RegistryContent } from './content.ts';
import type { RecordedRequest } from './request.ts';

export interface Reply {
  status: number;
  /** Names in the case in which they are sent. */
  headers: Record<string, string | readonly string[]>;
  body: ByteSource;
  /** What part of an object the body is, when it is one. */
  span?: { readonly start: number; readonly end: number };
}

export interface ReplyOptions {
  readonly content: RegistryContent;
  readonly hasReferrersApi: boolean;
  /** Page size of tags/list when the client names none. */
  readonly pageSize: number;
}

const index = 'application/vnd.oci.image.index.v1+json';

export function rightReply(request: RecordedRequest, { content, hasReferrersApi, pageSize }: ReplyOptions): Reply {
  const { kind, repository, reference, query } = request;
  if (kind === 'ping') return jsonReply({});
  if (kind === 'catalog') return jsonReply({ repositories: content.repositories });
  if (kind === 'upload' || !['GET', 'HEAD'].includes(request.method)) return errorReply(405, 'UNSUPPORTED');
  if (kind === 'cdn') {
    const source = content.anyBlob(reference);
    return source === undefined
      ? errorReply(404, 'BLOB_UNKNOWN')
      : objectReply(source, 'application/octet-stream', reference);
  }
  if (kind === 'other' || kind === 'token') return errorReply(404, 'UNSUPPORTED');
  if (!content.has(repository)) return errorReply(404, 'NAME_UNKNOWN');
  switch (kind) {
    case 'manifest': {
      const found = content.manifest(repository, reference);
      if (found === undefined) return errorReply(404, 'MANIFEST_UNKNOWN');
      return conditional(request, objectReply(sourceOf(found.bytes), found.mediaType, found.digest));
    }
    case 'blob': {
      const source = content.blob(repository, reference);
      if (source === undefined) return errorReply(404, 'BLOB_UNKNOWN');
      return conditional(request, objectReply(source, 'application/octet-stream', reference));
    }
    case 'tags':
      return tagsReply(request, content.tags(repository), pageSize);
    case 'referrers': {
      if (!hasReferrersApi) return errorReply(404, 'UNSUPPORTED');
      const artifactType = query.get('artifactType');
      const all = content.referrers(repository, reference);
      const manifests = artifactType === null ? all : all.filter((d) => d['artifactType'] === artifactType);
      const reply = jsonReply({ schemaVersion: 2, mediaType: index, manifests }, { 'Content-Type': index });
      if (artifactType !== null) reply.headers['OCI-Filters-Applied'] = 'artifactType';
      return reply;
    }
  }
}

export function errorReply(status: number, code: string, extra: Record<string, string> = {}): Reply {
  return { ...jsonReply({ errors: [{ code, message: code.toLowerCase(), detail: null }] }, extra), status };
}

export function jsonReply(document: unknown, extra: Record<string, string> = {}): Reply {
  return {
    status: 200,
    headers: { 'Content-Type': 'application/json', ...extra },
    body: sourceOf(JSON.stringify(document)),
  };
}

function objectReply(source: ByteSource, mediaType: string, digest: string): Reply {
  return {
    status: 200,
    headers: {
      'Content-Type': mediaType,
      'Docker-Content-Digest': digest,
      ETag: `"${digest}"`,
      'Accept-Ranges': 'bytes',
    },
    body: source,
    span: { start: 0, end: source.sizeBytes },
  };
}

function conditional(request: RecordedRequest, reply: Reply): Reply {
  const etag = String(reply.headers['ETag']);
  const known = (request.headers['if-none-match'] ?? '').split(',').map((value) => value.trim());
  if (!known.includes(etag) && !known.includes(etag.replaceAll('"', ''))) return reply;
  return { status: 304, headers: { ETag: etag }, body: sourceOf('') };
}

function tagsReply({ query, path, repository }: RecordedRequest, all: readonly string[], pageSize: number): Reply {
  const last = query.get('last');
  const n = query.has('n') ? Number(query.get('n')) : pageSize;
  const rest = last === null ? all : all.filter((tag) => tag > last);
  const tags = rest.slice(0, n);
  const reply = jsonReply({ name: repository, tags });
  if (tags.length > 0 && tags.length < rest.length) {
    reply.headers['Link'] = `<${path}?n=${n}&last=${encodeURIComponent(tags.at(-1) ?? '')}>; rel="next"`;
  }
  return reply;
}

/** Turns a full answer into what a Range header makes of it. */
export function applyRange(reply: Reply, header: string, how: RangeAnswer): Reply {
  if (how === 'ignore' || reply.status !== 200 || reply.span === undefined) return reply;
  const size = reply.body.sizeBytes;
  if (typeof how === 'number')
    return errorReply(how, 'UNSUPPORTED', how === 416 ? { 'Content-Range': `bytes */${size}` } : {});
  const shift = typeof how === 'object' && 'shift' in how ? how.shift : 0;
  const total = typeof how === 'object' && 'total' in how ? how.total : size;
  const spans = header
    .replace(/^bytes=/, '')
    .split(',')
    .flatMap((text) => {
      const [, first = '', last = ''] = /^\s*([0-9]*)-([0-9]*)\s*$/.exec(text) ?? [];
      const start = (first === '' ? Math.max(0, size - Number(last)) : Number(first)) + shift;
      const end = Math.min(size, first === '' || last === '' ? size : Number(last) + shift + 1);
      return start < end ? [{ start, end }] : [];
    });
  const [span] = spans;
  if (span === undefined) return errorReply(416, 'RANGE_INVALID', { 'Content-Range': `bytes */${size}` });
  const describe = ({ start, end }: { start: number; end: number }): string => `bytes ${start}-${end - 1}/${total}`;
  if (spans.length === 1) {
    return {
      status: 206,
      headers: { ...reply.headers, 'Content-Range': describe(span) },
      body: part(reply.body, span),
      span,
    };
  }
  const pieces = spans.flatMap((one) => [
    Buffer.from(`\r\n--sep\r\nContent-Type: application/octet-stream\r\nContent-Range: ${describe(one)}\r\n\r\n`),
    reply.body.bytes(one.start, one.end),
  ]);
  const body = sourceOf(Buffer.concat([...pieces, Buffer.from('\r\n--sep--\r\n')]));
  return { status: 206, headers: { ...reply.headers, 'Content-Type': 'multipart/byteranges; boundary=sep' }, body };
}

function part(source: ByteSource, { start, end }: { start: number; end: number }): ByteSource {
  return { sizeBytes: end - start, bytes: (from, to) => source.bytes(start + from, start + to) };
}
