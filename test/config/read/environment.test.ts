import { describe, expect, it } from 'vitest';
import { findCredentials, findProxies } from '../../../src/config/read/environment.ts';

describe('credentials of other tools', () => {
  it('are looked for where podman and docker keep them, in their order', () => {
    expect(findCredentials({ HOME: '/home/me', XDG_RUNTIME_DIR: '/run/user/1' }).files).toEqual([
      '/run/user/1/containers/auth.json',
      '/home/me/.config/containers/auth.json',
      '/home/me/.docker/config.json',
      '/home/me/.dockercfg',
    ]);
    expect(findCredentials({ HOME: '/home/me', XDG_CONFIG_HOME: '/cfg', DOCKER_CONFIG: '/docker' }).files).toEqual([
      '/cfg/containers/auth.json',
      '/docker/config.json',
      '/home/me/.dockercfg',
    ]);
    expect(
      findCredentials({ HOME: '/home/me', XDG_RUNTIME_DIR: '/run/user/1', REGISTRY_AUTH_FILE: '/auth' }).files,
    ).toEqual(['/auth', '/home/me/.docker/config.json', '/home/me/.dockercfg']);
  });

  it('may be nowhere, and an empty variable is none', () => {
    expect(findCredentials({ HOME: '', DOCKER_CONFIG: '', REGISTRY_AUTH_FILE: '', DOCKER_AUTH_CONFIG: '' })).toEqual({
      inline: undefined,
      files: [],
    });
  });

  it('in DOCKER_AUTH_CONFIG cannot be printed', () => {
    const { inline } = findCredentials({ DOCKER_AUTH_CONFIG: '{"auths":{}}' });
    expect(inline?.reveal()).toBe('{"auths":{}}');
    expect(`${String(inline)} ${JSON.stringify({ inline })}`).not.toContain('auths');
  });
});

describe('proxies', () => {
  it('come from the usual variables, lower case first', () => {
    const { proxy, problems } = findProxies({
      HTTP_PROXY: 'http://upper:1',
      http_proxy: 'http://lower:1',
      HTTPS_PROXY: 'me:pw@proxy:3128',
      NO_PROXY: 'Localhost, .lab,10.0.0.0/8  x:5000',
    });
    expect(problems).toEqual([]);
    expect([proxy.http?.reveal(), proxy.https?.reveal()]).toEqual(['http://lower:1', 'http://me:pw@proxy:3128']);
    expect(proxy.noProxy).toEqual(['localhost', '.lab', '10.0.0.0/8', 'x:5000']);
  });

  it('are none when the variables are empty', () => {
    expect(findProxies({ HTTP_PROXY: '', https_proxy: '', no_proxy: '' })).toEqual({
      proxy: { http: undefined, https: undefined, noProxy: [] },
      problems: [],
    });
  });

  it.each(['socks5://proxy:1080', 'http://', 'http://me:hunter2@pro xy'])(
    '%s is a problem that shows no password',
    (url) => {
      const { problems, proxy } = findProxies({ https_proxy: url });
      expect(proxy.https).toBeUndefined();
      expect(problems).toMatchObject([{ origin: { kind: 'variable', name: 'https_proxy' } }]);
      expect(JSON.stringify(problems)).not.toContain('hunter2');
    },
  );
});
