import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../support/leaks.ts';
import { clientOf, failureOf, never, readAll, recorder, ref, repo, someDigest } from './support/clients.ts';
import { type Handler, serve, type TestServer } from './support/servers.ts';

const manifest = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: {}, layers: [] });
const manifestDigest = digestOf(manifest);
const content = Buffer.from('hello world');

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

/** A plain anonymous registry with one manifest and one blob. */
function plain(request: Parameters<Handler>[0], response: ServerResponse): void {
  if (request.url === `/v2/a/b/manifests/v1` || request.url === `/v2/a/b/manifests/${manifestDigest}`) {
    response.writeHead(200, {
      'Content-Type': `${mediaTypes.ociManifest}; charset=utf-8`,
      'Content-Length': manifest.length,
      'Docker-Content-Digest': manifestDigest,
    });
    response.end(manifest);
  } else if (request.url === `/v2/a/b/blobs/${someDigest}`) {
    sendRange(request.headers.range, content, response);
  } else {
    response.writeHead(404, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ errors: [{ code: 'NAME_UNKNOWN', message: 'no' }] }));
  }
}

function sendRange(range: string | undefined, bytes: Buffer, response: ServerResponse): void {
  const [, first, last] = /^bytes=([0-9]*)-([0-9]*)$/.exec(range ?? '') ?? [];
  if (first === undefined || last === undefined) {
    response.writeHead(200, { 'Content-Length': bytes.length }).end(bytes);
    return;
  }
  const start = first === '' ? Math.max(0, bytes.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? bytes.length : Math.min(bytes.length, Number(last) + 1);
  response.writeHead(206, {
    'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}`,
    'Content-Length': end - start,
  });
  response.end(bytes.subarray(start, end));
}

async function withPlain(test: (server: TestServer) => Promise<void>): Promise<void> {
  await using server = await serve(plain);
  await test(server);
}

describe('registry client', () => {
  it('gets a manifest as it is, with what the headers say', () =>
    withPlain(async (server) => {
      await using client = clientOf(server.url);
      const body = await client.getManifest(repo('a/b'), ref('v1'), never);
      expect(Buffer.from(body.bytes).toString()).toBe(manifest);
      expect(body).toMatchObject({
        digest: manifestDigest,
        mediaType: mediaTypes.ociManifest,
        sizeBytes: manifest.length,
      });
      expect(server.seen[0]?.headers).toMatchObject({ 'accept-encoding': 'identity' });
      for (const type of ['ociManifest', 'ociIndex', 'dockerManifest', 'dockerList'] as const) {
        expect(server.seen[0]?.headers.accept).toContain(mediaTypes[type]);
      }
    }));

  it('asks for the head of a manifest without its body', () =>
    withPlain(async (server) => {
      await using client = clientOf(server.url);
      const head = await client.headManifest(repo('a/b'), ref(manifestDigest), never);
      expect(head).toEqual({
        digest: manifestDigest,
        mediaType: mediaTypes.ociManifest,
        sizeBytes: manifest.length,
      });
      expect(server.seen.map(({ method }) => method)).toEqual(['HEAD']);
    }));

  it('opens a blob, the whole and parts of it', () =>
    withPlain(async (server) => {
      const recorded = recorder();
      await using client = clientOf(server.url, { events: recorded.events });
      const question = { repository: repo('a/b'), digest: someDigest };
      const whole = await client.openBlob(question, never);
      expect(whole.answer).toEqual({ kind: 'whole', sizeBytes: 11 });
      expect(String(await readAll(whole))).toBe('hello world');
      const closed = await client.openBlob({ ...question, range: { kind: 'closed', start: 6, end: 9 } }, never);
      expect(closed.answer).toEqual({ kind: 'part', start: 6, end: 9, totalBytes: 11 });
      expect(String(await readAll(closed))).toBe('wor');
      const suffix = await client.openBlob({ ...question, range: { kind: 'suffix', suffixBytes: 3 } }, never);
      expect(suffix.answer).toEqual({ kind: 'part', start: 8, end: 11, totalBytes: 11 });
      expect(String(await readAll(suffix))).toBe('rld');
      expect(whole.endpoint).toBe(server.url.origin);
      expect(recorded.bytes).toBe(17);
      expect(recorded.requests.map(({ status }) => status)).toEqual([200, 206, 206]);
    }));

  it('says what the registry said about things that are not there', () =>
    withPlain(async (server) => {
      await using client = clientOf(server.url);
      const error = await failureOf(client.getManifest(repo('a/c'), ref('v1'), never));
      expect(error).toMatchObject({ kind: 'notFound', status: 404, code: 'NAME_UNKNOWN', upstream: 'test' });
    }));
});
