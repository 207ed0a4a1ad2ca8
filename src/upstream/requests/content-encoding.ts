/**
 * A Content-Encoding that nobody asked for is a hint, and the digest decides: stores keep the label of an upload
 * (`aws-chunked`), servers guess one by the first bytes (`x-gzip`), and some do compress. The raw bytes are tried first;
 * where they have turned out not to be the blob, the next attempt decodes.
 */
import { pipeline, Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip, gunzip } from 'node:zlib';
import { type Digest, digestAlgorithm, type Hasher, hasher } from '../../oci/digest.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { parseContentLength } from '../../headers/content-length.ts';
import { lruOf } from '../../lib/lru.ts';
import type { IncomingResponse } from '../exchange/sender.ts';

type Headers = IncomingResponse['headers'];

/** Digests of which the raw bytes were wrong, per endpoint. */
const maxRemembered = 1024;

export function isEncoded(headers: Headers): boolean {
  const { 'content-encoding': encoding } = headers;
  if (encoding === undefined) return false;
  return typeof encoding !== 'string' || !['', 'identity'].includes(encoding.trim().toLowerCase());
}

function isGzip(headers: Headers): boolean {
  const { 'content-encoding': encoding } = headers;
  return typeof encoding === 'string' && ['gzip', 'x-gzip'].includes(encoding.trim().toLowerCase());
}

/**
 * A manifest or a list as it was before it was compressed. None begins as compressed bytes do, so nothing needs to be hashed
 * to tell.
 * Rejects with `refuse` when it cannot be decoded into `limitBytes`.
 */
export async function plainText(
  bytes: Uint8Array,
  headers: Headers,
  limitBytes: number,
  refuse: (cause: unknown) => UpstreamError,
): Promise<Uint8Array> {
  if (!isGzip(headers) || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  return promisify(gunzip)(bytes, { maxOutputLength: limitBytes }).catch((cause: unknown) => {
    throw refuse(cause);
  });
}

export class EncodedBlobs {
  readonly #wrong = lruOf<Digest, true>(maxRemembered);

  /** The next whole body that is labelled gzip is to be decoded. */
  isToDecode(digest: Digest, headers: Headers): boolean {
    return isGzip(headers) && this.#wrong.has(digest);
  }

  /** The same answer, with its body watched or decoded. It cannot be moved to another thread. */
  follow(response: IncomingResponse, digest: Digest, upstream: string, place: string): IncomingResponse {
    const { status, headers } = response;
    const isDecoded = this.isToDecode(digest, headers);
    const declaredBytes = parseContentLength(headers['content-length']);
    const body = isDecoded
      ? decoded(response.body, upstream, place)
      : this.#watched(response.body, digest, declaredBytes);
    return {
      status,
      headers: isDecoded ? { ...headers, 'content-length': undefined } : headers,
      body,
      discard: () => response.discard(),
      abort: () => response.abort(),
    };
  }

  /** Whoever reads stops at the last byte that was announced, so that is where to look. */
  async *#watched(
    body: AsyncIterable<Uint8Array>,
    digest: Digest,
    declaredBytes: number | undefined,
  ): AsyncGenerator<Uint8Array> {
    const hash = hasher(digestAlgorithm(digest));
    let receivedBytes = 0;
    for await (const chunk of body) {
      hash.update(chunk);
      receivedBytes += chunk.byteLength;
      if (receivedBytes === declaredBytes) this.#judge(hash, digest);
      yield chunk;
    }
    if (declaredBytes === undefined) this.#judge(hash, digest);
  }

  #judge(hash: Hasher, digest: Digest): void {
    if (hash.digest() !== digest) this.#wrong.set(digest, true);
  }
}

async function* decoded(body: AsyncIterable<Uint8Array>, upstream: string, place: string): AsyncGenerator<Uint8Array> {
  const plain = createGunzip();
  // Whatever goes wrong destroys `plain` with it, and shows below.
  pipeline(Readable.from(body), plain, () => undefined);
  try {
    for await (const chunk of plain) yield chunk as Uint8Array;
  } catch (cause) {
    if (cause instanceof UpstreamError) throw cause;
    throw failure('badResponse', upstream, `body from ${place}: it is not the gzip that it says it is`, cause);
  }
}
