/** Thread entry: reads files to their end and says what they are, behind everything else that runs on the machine. */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { digestAlgorithm, type Digest } from '../../oci/digest.ts';
import { formatStamp, isSameFile, stampOf } from '../contract/file-stamp.ts';

export interface ProofRequest {
  readonly digest: Digest;
  readonly path: string;
}

export interface ProofReply {
  readonly digest: Digest;
  /** Undefined: the file cannot be read, or changed meanwhile. */
  readonly found?: { readonly digest: string; readonly stamp: string };
}

// Linux gives each thread its own; elsewhere this would slow the whole process down.
if (process.platform === 'linux') setPriority(0, 19);

const buffer = Buffer.alloc(1024 * 1024);

function read({ digest, path }: ProofRequest): ProofReply {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return { digest }; // whoever asks for the blob next meets the same, and deals with it
  }
  try {
    const algorithm = digestAlgorithm(digest);
    const hash = createHash(algorithm);
    const before = stampOf(fstatSync(file, { bigint: true }));
    for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer)) {
      hash.update(buffer.subarray(0, count));
    }
    const after = stampOf(fstatSync(file, { bigint: true }));
    if (!isSameFile(before, after)) return { digest };
    return { digest, found: { digest: `${algorithm}:${hash.digest('hex')}`, stamp: formatStamp(after) } };
  } catch {
    return { digest }; // as above
  } finally {
    closeSync(file);
  }
}

parentPort?.on('message', (request: ProofRequest) => parentPort?.postMessage(read(request)));
