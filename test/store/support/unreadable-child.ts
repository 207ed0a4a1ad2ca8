/** A store whose blob this user may not open: run as nobody where the tests run as the superuser. */
import { chmod } from 'node:fs/promises';
import { systemClock } from '../../../src/lib/clock.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { openStore } from '../../../src/store/open.ts';
import { say } from './child.ts';
import { blobFile, RecordingLogger } from './harness.ts';

const [root = ''] = process.argv.slice(2);
if (process.getuid?.() === 0) process.seteuid?.(65_534);
const logger = new RecordingLogger();
const opened = await openStore({ root, partialTtlMs: 86_400_000, clock: systemClock, logger });
const { store } = opened;
await opened.recovered;
const bytes = Buffer.from('not for everybody');
const digest = digestOf(bytes);
await store.put(digest, bytes);
await chmod(blobFile(root, digest), 0);
const before = await store.stat(digest);
const first = await store.open(digest);
const [after, whole] = [await store.stat(digest), await store.readAll(digest, 100)];
say('closed to us', { before: before?.sizeBytes, isOpened: first !== undefined, isThere: after !== undefined, whole });
say('told', { complaints: logger.complaints(), unreadable: store.usage().unreadable });
await store.put(digest, bytes);
say('stored anew', { bytes: Buffer.from((await store.readAll(digest, 100)) ?? []).toString() });
await opened.close();
