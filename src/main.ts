#!/usr/bin/env node
/** The program. Nothing may be imported here that an old Node cannot load, or nobody would read the message. */
import { setFlagsFromString } from 'node:v8';
import { sizeThreadPool } from './config/thread-pool.ts';

const [major = 0] = process.versions.node.split('.').map(Number);
if (major < 24) {
  process.stderr.write(`weir needs Node.js 24 or newer, and this is ${process.version}. See https://nodejs.org\n`);
  process.exitCode = 1;
} else {
  sizeThreadPool();
  // A second net: an expression that backtracks too much, ours or a library's, is run by an engine that does not. It holds for
  // all threads, and for expressions that are made after it, so before everything else is loaded.
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
  const { boot } = await import('./boot.ts');
  await boot();
}
