import { expect, it } from 'vitest';
import { silentLogger } from '../../src/lib/log.ts';

it('a silent logger takes every level and every child', () => {
  const logger = silentLogger.child({ upstream: 'x' });
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    expect(logger[level]({ err: new Error('x') }, 'text')).toBeUndefined();
  }
});
