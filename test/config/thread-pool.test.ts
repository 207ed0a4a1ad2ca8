import { afterEach, describe, expect, it, vi } from 'vitest';
import { sizeThreadPool, threadPoolSize } from '../../src/config/thread-pool.ts';

describe('the thread pool', () => {
  afterEach(() => void vi.unstubAllEnvs());

  it('has the size that it is given, and the environment goes first', () => {
    vi.stubEnv('UV_THREADPOOL_SIZE', undefined);
    expect(threadPoolSize()).toBe(4);
    sizeThreadPool();
    expect(threadPoolSize()).toBe(16);
    vi.stubEnv('UV_THREADPOOL_SIZE', '6');
    sizeThreadPool();
    expect(threadPoolSize()).toBe(6);
  });

  it.each([
    ['5000', 1024],
    ['0', 1],
    ['many', 1],
  ])('of %s has %i threads', (text, threads) => {
    vi.stubEnv('UV_THREADPOOL_SIZE', text);
    expect(threadPoolSize()).toBe(threads);
  });
});
