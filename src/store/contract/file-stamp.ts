/**
 * How a file is known again without reading it. Its size and modification time say that its content is what was proved:
 * whoever writes into it changes the time, unless to deceive. Inode and change time say that it is the very file: nothing
 * outside of the kernel sets those. They differ alone where nobody has written: a volume whose ownership was changed for
 * its new user, labels, another mount, a backup made of hard links.
 */
import type { BigIntStats } from 'node:fs';

export interface FileStamp {
  /** Nanoseconds since the epoch. */
  readonly mtimeNs: bigint;
  readonly inode: bigint;
  /** Nanoseconds since the epoch. */
  readonly ctimeNs: bigint;
}

export function stampOf({ mtimeNs, ino, ctimeNs }: BigIntStats): FileStamp {
  return { mtimeNs, inode: ino, ctimeNs };
}

export function isSameFile(one: FileStamp, other: FileStamp): boolean {
  return one.mtimeNs === other.mtimeNs && one.inode === other.inode && one.ctimeNs === other.ctimeNs;
}

/** For a column: the numbers are larger than SQLite's driver hands out as numbers. */
export function formatStamp({ mtimeNs, inode, ctimeNs }: FileStamp): string {
  return `${mtimeNs} ${inode} ${ctimeNs}`;
}

const stampText = /^(-?[0-9]{1,24}) ([0-9]{1,24}) (-?[0-9]{1,24})$/;

/** Undefined for anything that `formatStamp` does not write. */
export function parseStamp(text: string): FileStamp | undefined {
  const [, mtimeNs, inode, ctimeNs] = stampText.exec(text) ?? [];
  if (mtimeNs === undefined || inode === undefined || ctimeNs === undefined) return undefined;
  return { mtimeNs: BigInt(mtimeNs), inode: BigInt(inode), ctimeNs: BigInt(ctimeNs) };
}
