/** Whether what a client received is what it asked for. */
import type { Download, GetReport } from './client.ts';
import { WrongAnswer } from '../results.ts';
import type { Blob } from './content.ts';

function check(download: Download, sizeBytes: number, sha256: string): void {
  if (download.error !== undefined) throw new Error(download.error);
  if (download.bytes !== sizeBytes) throw new WrongAnswer(`${download.bytes} bytes instead of ${sizeBytes}`);
  if (download.sha256 !== undefined && download.sha256 !== sha256) throw new WrongAnswer(`other bytes: ${sha256}`);
}

/** Every connection has got the whole blob, and those that hashed have got the right bytes. */
export function checkWhole({ downloads }: GetReport, { sizeBytes, digest }: Blob): void {
  for (const download of downloads) check(download, sizeBytes, digest.slice('sha256:'.length));
}

/** Like `checkWhole`, for a span; an answer with the whole blob is not one. */
export function checkSpan({ downloads }: GetReport, length: number, sha256: string): void {
  for (const download of downloads) {
    if (download.status === 200) throw new WrongAnswer('the whole blob instead of the range');
    check(download, length, sha256);
  }
}

/** No connection broke; how much each got does not matter. */
export function checkRunning({ downloads }: GetReport): void {
  for (const { error } of downloads) if (error !== undefined) throw new Error(error);
}
