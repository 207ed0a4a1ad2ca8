import { describe, expect, it } from 'vitest';
import { StoreError } from '../../../src/store/contract/blob-store.ts';
import { CommandLine, fakeDaemon } from '../support.ts';

/** Resolves once everything that is already decided has been carried out. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('weir serve', () => {
  it('is what weir alone does, with the configuration of file and variables', async () => {
    const daemon = fakeDaemon();
    const line = new CommandLine({ env: { WEIR_OFFLINE: 'true' }, start: () => Promise.resolve(daemon) });
    const code = line.run();
    await line.hasStarted;
    expect(line.started).toMatchObject([{ offline: true, listen: { port: 5000 } }]);
    line.signal();
    expect(await code).toBe(0);
    expect(daemon.stops).toBe(1);
  });

  it('prints three lines on a terminal, and nothing where logs are piped', async () => {
    for (const isTTY of [true, false]) {
      const daemon = fakeDaemon();
      const line = new CommandLine({ isTTY, start: () => Promise.resolve(daemon) });
      const code = line.run('serve');
      await line.hasStarted;
      await settled();
      expect(line.out).toBe(
        isTTY
          ? 'weir 1.2.3 listens on http://0.0.0.0:5000; metrics and health are on http://127.0.0.1:5001\n' +
              'Pull through it: docker pull localhost:5000/docker.io/library/alpine\n' +
              'Stop it with Ctrl-C; press it twice to cut running downloads short.\n'
          : '',
      );
      line.signal();
      await code;
    }
  });

  it('says a system error of a failed start once', async () => {
    const cause = Object.assign(new Error("EACCES: permission denied, mkdir '/root'"), { code: 'EACCES' });
    const error = new StoreError('sick', 'creating the cache root /root failed: EACCES', { cause });
    const line = new CommandLine({ start: () => Promise.reject(error) });
    expect(await line.run()).toBe(1);
    expect(line.err).toBe("weir: creating the cache root /root failed: EACCES: permission denied, mkdir '/root'\n");
  });

  it('one signal waits for the daemon to stop', async () => {
    const daemon = fakeDaemon({ isStopSlow: true });
    const line = new CommandLine({ start: () => Promise.resolve(daemon) });
    let isOver = false;
    const code = line.run().finally(() => (isOver = true));
    await line.hasStarted;
    await settled();
    line.signal();
    await settled();
    expect([daemon.stops, isOver]).toEqual([1, false]);
    daemon.finishStop();
    expect(await code).toBe(0);
    expect(line.signalListeners).toBe(0);
  });

  it('a second signal tells it to hurry', async () => {
    const daemon = fakeDaemon({ isStopSlow: true });
    const line = new CommandLine({ start: () => Promise.resolve(daemon) });
    const code = line.run();
    await line.hasStarted;
    await settled();
    line.signal();
    await settled();
    line.signal();
    expect(await code).toBe(0);
    expect(daemon.stops).toBe(2);
  });

  it('a third signal waits for nothing, and more are ignored', async () => {
    const daemon = fakeDaemon({ isStopSlow: true, isStuck: true });
    const line = new CommandLine({ start: () => Promise.resolve(daemon) });
    let isOver = false;
    const code = line.run().finally(() => (isOver = true));
    await line.hasStarted;
    await settled();
    line.signal();
    line.signal();
    await settled();
    expect([daemon.stops, isOver]).toEqual([2, false]);
    line.signal();
    line.signal();
    expect(await code).toBe(0);
  });

  it('a signal while it starts stops it as soon as it has started', async () => {
    const daemon = fakeDaemon();
    const gate = Promise.withResolvers<void>();
    const line = new CommandLine({ isTTY: true, start: () => gate.promise.then(() => daemon) });
    const code = line.run();
    await line.hasStarted;
    line.signal();
    gate.resolve();
    expect(await code).toBe(0);
    expect(daemon.stops).toBe(1);
    expect(line.out).toBe('');
  });

  it('two signals while it starts end it at once', async () => {
    const line = new CommandLine({ start: () => Promise.withResolvers<never>().promise });
    const code = line.run();
    await line.hasStarted;
    line.signal();
    line.signal();
    expect(await code).toBe(0);
  });

  it('a wrong configuration starts nothing, prints every problem and exits with 2', async () => {
    const line = new CommandLine({ env: { WEIR_LISTEN: 'x', WEIR_OFFLINE: 'maybe' } });
    expect(await line.run()).toBe(2);
    expect(line.started).toEqual([]);
    expect(line.err.split('\n')).toHaveLength(4);
    expect(line.err).toContain('weir: 2 problems in the configuration\n');
  });

  it.each([
    [
      'a locked root',
      new StoreError('locked', 'cache.root /data: another weir uses it'),
      'weir: cache.root /data: another weir uses it\n',
    ],
    [
      'a port in use',
      Object.assign(new Error('listen EADDRINUSE: address already in use 127.0.0.1:5000'), {
        code: 'EADDRINUSE',
        syscall: 'listen',
      }),
      'weir: listen EADDRINUSE: address already in use 127.0.0.1:5000\n',
    ],
    [
      'a cause that says more',
      new StoreError('sick', 'cache.root cannot be used', { cause: new Error('EROFS: read-only file system') }),
      'weir: cache.root cannot be used: EROFS: read-only file system\n',
    ],
    [
      'a cause that was said already',
      new StoreError('sick', 'no root: EROFS', { cause: new Error('EROFS') }),
      'weir: no root: EROFS\n',
    ],
    ['a message that would forge lines', new StoreError('sick', 'a\nb\u001b[2J'), 'weir: a\\u{a}b\\u{1b}[2J\n'],
  ])('%s is one clear line and exit code 1', async (_, error, expected) => {
    const line = new CommandLine({ start: () => Promise.reject(error) });
    expect(await line.run()).toBe(1);
    expect(line.err).toBe(expected);
    expect(line.signalListeners).toBe(0);
  });

  it('a defect shows its trace', async () => {
    const line = new CommandLine({ start: () => Promise.reject(new TypeError('x is not a function')) });
    expect(await line.run()).toBe(1);
    expect(line.err).toMatch(/^weir: this is a defect of weir.*\nTypeError: x is not a function\n +at /);
  });

  it('a daemon that cannot go on ends with its reason and exit code 1', async () => {
    const daemon = fakeDaemon();
    const line = new CommandLine({ start: () => Promise.resolve(daemon) });
    const code = line.run();
    await line.hasStarted;
    daemon.fail(new StoreError('sick', 'the lock of cache.root is lost'));
    expect(await code).toBe(1);
    expect(line.err).toBe('weir: the lock of cache.root is lost\n');
  });

  it('a daemon that fails while it stops is exit code 1', async () => {
    const daemon = fakeDaemon({ isStopSlow: true });
    const line = new CommandLine({ start: () => Promise.resolve(daemon) });
    const code = line.run();
    await line.hasStarted;
    await settled();
    line.signal();
    daemon.fail(new StoreError('sick', 'index.json could not be written'));
    expect(await code).toBe(1);
    expect(line.err).toContain('index.json');
  });
});
