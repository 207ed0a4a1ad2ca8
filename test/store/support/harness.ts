/** Cache roots for tests: opened on real files, looked at from outside, closed on disposal. */
import { readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../src/lib/clock.ts';
import type { Logger, LogFields } from '../../../src/lib/log.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { parseRepository, parseTag } from '../../../src/oci/reference.ts';
import type { RepositoryKey, TagKey } from '../../../src/store/contract/metadata.ts';
import { type OpenedStore, openStore } from '../../../src/store/open.ts';
import { FakeClock } from '../../support/fake-clock.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: LogFields;
}

export class RecordingLogger implements Logger {
  readonly lines: LogLine[] = [];

  debug(fields: LogFields, message: string): void {
    this.lines.push({ level: 'debug', message, fields });
  }

  info(fields: LogFields, message: string): void {
    this.lines.push({ level: 'info', message, fields });
  }

  warn(fields: LogFields, message: string): void {
    this.lines.push({ level: 'warn', message, fields });
  }

  error(fields: LogFields, message: string): void {
    this.lines.push({ level: 'error', message, fields });
  }

  child(): Logger {
    return this;
  }

  /** Everything that an operator would be alarmed by. */
  complaints(): readonly string[] {
    return this.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ message }) => message);
  }
}

export interface TestStore extends OpenedStore, AsyncDisposable {
  readonly root: string;
  readonly clock: FakeClock;
  readonly logger: RecordingLogger;
}

export interface TestStoreOptions {
  readonly clock?: FakeClock;
  readonly partialTtlMs?: number;
  readonly mostMetadataBytes?: number;
}

/** The clock starts at the system's own time, which is what files carry. */
export async function openTestStore(root: string, options: TestStoreOptions = {}): Promise<TestStore> {
  const clock = options.clock ?? new FakeClock(Date.now());
  const logger = new RecordingLogger();
  const { partialTtlMs = 86_400_000, mostMetadataBytes } = options;
  const opened = await openStore({ root, partialTtlMs, mostMetadataBytes, clock, logger });
  return { ...opened, root, clock, logger, [Symbol.asyncDispose]: () => opened.close() };
}

/** A clock that never waits: for stores in child processes and for those that only look. */
export function frozenClock(): Clock {
  return new FakeClock(Date.now());
}

export interface Content {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

export function content(bytes: string | Uint8Array = randomBytes(1000)): Content {
  const buffer = Buffer.from(bytes);
  return { bytes: buffer, digest: digestOf(buffer) };
}

export function repositoryKey(repository: string, upstream = 'docker.io'): RepositoryKey {
  const parsed = parseRepository(repository);
  if (parsed === undefined) throw new Error(`no repository: ${repository}`);
  return { upstream, repository: parsed };
}

export function tagKey(repository: string, tag: string, upstream = 'docker.io'): TagKey {
  const parsed = parseTag(tag);
  if (parsed === undefined) throw new Error(`no tag: ${tag}`);
  return { ...repositoryKey(repository, upstream), tag: parsed };
}

export function blobFile(root: string, digest: Digest): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  return join(root, 'blobs', algorithm, hex);
}

/** Every file below `root` with its size and mode, one per line. */
export async function dumpTree(root: string): Promise<string> {
  const lines: string[] = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    const { size, mode, nlink } = await stat(path);
    lines.push(
      `${(mode & 0o7777).toString(8).padStart(4, '0')} ${nlink} ${String(size).padStart(10)} ${relative(root, path)}`,
    );
  }
  return lines.toSorted().join('\n');
}

/** Names in the ingest directory. */
export function ingestNames(root: string): Promise<string[]> {
  return readdir(join(root, 'weir', 'ingest'));
}

/** Waits until the dates of files that were written before this are safely in the past. They lag behind by a tick. */
export async function passFileTime(): Promise<void> {
  const start = Date.now();
  while (Date.now() < start + 25) await new Promise((resolve) => setTimeout(resolve, 5));
}
