import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reasonOf } from '../../../src/upstream/contract/failure.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { tempDirectory } from '../../support/temp.ts';
import { clientOf, failureOf, never, recorder, ref, repo } from '../support/clients.ts';
import { serveRaw } from '../support/servers.ts';

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

function systemError(code: string, more: object = {}): Error {
  return Object.assign(new Error(`${code}: it failed`), { code, ...more });
}

function kindFor(cause: unknown): string {
  return new UpstreamError('unreachable', 'it failed', { upstream: 'lab', cause }).kind;
}

describe('an error of this machine', () => {
  it.each(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS'])('is no word about an upstream: %s', (code) => {
    expect(kindFor(systemError(code, { syscall: 'connect' }))).toBe('exhausted');
    expect(kindFor(new Error('around it', { cause: systemError(code) }))).toBe('exhausted');
  });

  it('is one also when it is about a file of ours', () => {
    expect(kindFor(systemError('EACCES', { syscall: 'open', path: '/etc/weir/ca.pem' }))).toBe('exhausted');
    expect(kindFor(systemError('EACCES', { syscall: 'connect' }))).toBe('unreachable');
  });

  it('is one of several addresses only if each of them met it', () => {
    const several = (...codes: string[]): Error => new AggregateError(codes.map((code) => systemError(code)));
    expect(kindFor(several('EMFILE', 'EMFILE'))).toBe('exhausted');
    expect(kindFor(several('EMFILE', 'ECONNREFUSED'))).toBe('unreachable');
  });

  it('names no file to whom it is told', () => {
    expect(reasonOf(systemError('EACCES', { syscall: 'open', path: '/etc/weir/ca.pem' }))).toBe('EACCES');
  });

  it('neither opens the breaker nor makes an endpoint rest', async () => {
    await using temp = await tempDirectory();
    const recorded = recorder();
    const caFile = join(temp.path, 'gone.pem');
    const tls = { caFile, certFile: undefined, keyFile: undefined, insecureSkipVerify: false };
    await using silent = await serveRaw(() => undefined);
    const url = new URL(`https://127.0.0.1:${silent.port}`);
    await using client = clientOf(url, { events: recorded.events, tls });
    for (let attempt = 0; attempt < 4; attempt++) {
      const error = await failureOf(client.headManifest(repo('a/b'), ref('v1'), never));
      expect(error.kind).toBe('exhausted');
      expect(error.message).not.toContain(temp.path);
    }
    expect(recorded.breaker).toEqual([]);
  });
});
