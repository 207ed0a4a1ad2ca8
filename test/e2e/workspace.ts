/** The suite's temporary directory, and the proof at the end that nothing of it is left: no process, no mount, no file. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Workspace {
  readonly root: string;
  #count = 0;

  constructor(prefix = 'weir-e2e-') {
    this.root = mkdtempSync(join(tmpdir(), prefix));
  }

  /** A new empty directory; the name only helps a reader. */
  directory(name: string): string {
    this.#count += 1;
    const path = join(this.root, `${this.#count}-${name.replaceAll(/[^\w.-]+/g, '-')}`);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** One that is removed when it is disposed of. */
  scratch(name: string): Disposable & { readonly path: string } {
    const path = this.directory(name);
    return { path, [Symbol.dispose]: () => this.remove(path) };
  }

  /** Removes a directory below the workspace together with whatever a container runtime has mounted there. */
  remove(path: string): void {
    for (const mount of mountsBelow(path)) {
      const { status, stderr } = spawnSync('umount', ['-l', mount], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`umount ${mount}: ${stderr}`);
    }
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Command lines of living processes that name the workspace, killed on the way: shims, monitors, forgotten servers. */
  killLeftovers(): string[] {
    const left = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .map((pid) => ({ pid: Number(pid), line: commandLine(pid) }))
      .filter(({ line }) => line.includes(this.root));
    for (const { pid } of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended between the look and the signal, which is what was wanted.
      }
    }
    return left.map(({ pid, line }) => `${pid} ${line}`);
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // it has ended
  }
}

/** Mount points at or below a path, the innermost first. */
function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point === path || point.startsWith(`${path}/`))
    .toReversed();
}
