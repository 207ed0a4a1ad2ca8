/** Positional writes that are whole or fail. */
import type { FileHandle } from 'node:fs/promises';
import { StoreError } from '../contract/blob-store.ts';

/** Resolves how many bytes the buffers have together. Rejects with the system's error, or StoreError `sick`. */
export async function writeAll(file: FileHandle, buffers: readonly Uint8Array[], position: number): Promise<number> {
  let wanted = 0;
  for (const buffer of buffers) wanted += buffer.byteLength;
  if (wanted === 0) return 0;
  const { bytesWritten } = await file.writev(buffers, position);
  if (bytesWritten < wanted) await writeRest(file, buffers, position, bytesWritten);
  return wanted;
}

/** A short write is legal, and usual just before the disk is full: the next one then tells why. */
async function writeRest(
  file: FileHandle,
  buffers: readonly Uint8Array[],
  position: number,
  already: number,
): Promise<void> {
  let skip = already;
  let at = position;
  for (const buffer of buffers) {
    let from = Math.min(skip, buffer.byteLength);
    skip -= from;
    while (from < buffer.byteLength) {
      const { bytesWritten } = await file.write(buffer, from, buffer.byteLength - from, at + from);
      if (bytesWritten === 0) throw new StoreError('sick', 'the disk takes no bytes');
      from += bytesWritten;
    }
    at += buffer.byteLength;
  }
}
