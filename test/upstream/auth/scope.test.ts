import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Repository, parseRepository } from '../../../src/oci/reference.ts';
import { challengeScopes, parseScope, scopeText, wantedScopes } from '../../../src/upstream/auth/scope.ts';

function repository(name: string): Repository {
  const parsed = parseRepository(name);
  if (parsed === undefined) throw new Error(`no repository: ${name}`);
  return parsed;
}

describe('parseScope', () => {
  it('splits at the first and the last colon, because a name may hold a port', () => {
    expect(parseScope('repository:host:5000/a/b:pull,push')).toEqual({
      type: 'repository',
      name: 'host:5000/a/b',
      actions: ['pull', 'push'],
    });
  });

  it('keeps the class in the type', () => {
    expect(parseScope('repository(plugin):a/b:pull')?.type).toBe('repository(plugin)');
  });

  it.each(['', 'aws', 'repository:a', ':a:pull', 'repository::pull', '::'])('finds no scope in %j', (text) => {
    expect(parseScope(text)).toBeUndefined();
  });

  it('reads back what scopeText writes', () => {
    const part = fc.stringMatching(/^[a-z0-9:/]{1,20}$/);
    const actions = fc.array(fc.stringMatching(/^[a-z_*]{1,8}$/), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z()]{1,12}$/), part, actions, (type, name, all) => {
        const scope = { type, name, actions: all };
        expect(parseScope(scopeText(scope))).toEqual(scope);
      }),
    );
  });
});

describe('wantedScopes', () => {
  const cases: readonly (readonly [string, string | undefined, readonly string[]])[] = [
    ['asks for pull when the challenge says nothing', undefined, ['repository:a/b:pull']],
    ['drops the placeholder of GHCR', 'repository:user/image:pull', ['repository:a/b:pull']],
    ['adds the scope of ECR Public', 'aws', ['aws', 'repository:a/b:pull']],
    [
      'unites the actions for the same repository',
      'repository:a/b:metadata_read',
      ['repository:a/b:metadata_read,pull'],
    ],
    ['never asks for more than reading', 'repository:a/b:pull,push,delete,*', ['repository:a/b:pull']],
    ['drops other repositories that begin alike', 'repository:a/b/c:pull repository:a:pull', ['repository:a/b:pull']],
    [
      'keeps the class of a plugin',
      'repository(plugin):a/b:pull',
      ['repository(plugin):a/b:pull', 'repository:a/b:pull'],
    ],
    [
      'drops another spelling of the type, which a server may take for the same',
      'Repository:victim/secret:pull REPOSITORY:a/b:pull repository%20:a/b:pull',
      ['repository:a/b:pull'],
    ],
    [
      'drops other types',
      'x:y:z x:y plugin:a/b:pull repository(:a/b:pull repository(A):a/b:pull',
      ['repository:a/b:pull'],
    ],
    ['drops the catalog', 'registry:catalog:*', ['repository:a/b:pull']],
    ['drops what is half a scope', 'repository:a/b repository', ['repository:a/b:pull']],
  ];

  it.each(cases)('%s', (_name, parameter, expected) => {
    expect(wantedScopes(repository('a/b'), challengeScopes(parameter))).toEqual(expected);
  });

  it('always asks to pull this repository, and speaks about no other', () => {
    const hint = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'aws',
        'repository:a/b:push',
        'repository:x:pull',
        'repository:a/b:metadata_read',
        'registry:c:*',
      ),
    );
    fc.assert(
      fc.property(fc.array(hint), (hints) => {
        const scopes = wantedScopes(repository('a/b'), challengeScopes(hints.join(' ')));
        expect(scopes.length).toBeLessThanOrEqual(9);
        expect(new Set(scopes).size).toBe(scopes.length);
        const own = scopes.map(parseScope).filter((scope) => scope?.type === 'repository');
        expect(own.map((scope) => scope?.name)).toEqual(['a/b']);
        expect(own[0]?.actions).toContain('pull');
        expect(own[0]?.actions).not.toContain('push');
      }),
    );
  });

  it('drops what could not stand in a request', () => {
    expect(challengeScopes(`ok ${'x'.repeat(513)} b\u0007d ünï`)).toEqual(['ok']);
    expect(challengeScopes(Array.from({ length: 50 }, (_, i) => `s${i}`).join(' '))).toHaveLength(8);
  });
});
