import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { tempDirectory, type TempDirectory } from '../../support/temp.ts';
import { TokenIssuer } from '../../support/upstream/auth.ts';
import { answer, cut, headers, html, raw } from '../../support/upstream/behaviour.ts';
import { TestAuthority } from '../../upstream/support/certificates.ts';
import { serve, serveTls, type TestServer } from '../../upstream/support/servers.ts';
import { checkUpstream, verdicts } from './support.ts';

let temp: TempDirectory;
let authority: TestAuthority;
beforeAll(async () => {
  temp = await tempDirectory('doctor');
  authority = await TestAuthority.create(temp);
});
afterAll(() => temp[Symbol.asyncDispose]());

describe('weir doctor, of an upstream', () => {
  it('that is well, says so and exits with 0', async () => {
    await using upstream = await ScriptedUpstream.start();
    const checked = await checkUpstream({ upstream: { url: upstream.url } });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry ok']);
    expect(checked.code).toBe(0);
    expect(checked.text).toContain('{"summary":{"ok":2,"warn":0,"fail":0}}');
  });

  it('follows a registry that lives elsewhere', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using front = await ScriptedUpstream.start();
    front.on({ kind: 'ping' }, { redirect: { status: 307, to: `${upstream.url}/v2/` } });
    const checked = await checkUpstream({ upstream: { url: front.url } });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry ok']);
    expect(checked.findings[1]?.message).toContain(upstream.url);
  });

  it('whose name nobody knows', async () => {
    const checked = await checkUpstream({ upstream: { url: 'https://registry.invalid' } });
    expect(verdicts(checked)).toEqual(['dns fail']);
    expect(checked.code).toBe(1);
    expect(checked.findings[0]?.advice).toMatch(/registry\.invalid|name server/);
  });

  it('where nothing listens', async () => {
    const upstream = await ScriptedUpstream.start();
    await upstream.stop();
    const checked = await checkUpstream({ upstream: { url: upstream.url } });
    expect(verdicts(checked)).toEqual(['connection fail']);
    expect(checked.findings[0]).toMatchObject({ subject: 'lab', message: expect.stringContaining('ECONNREFUSED') });
    expect(checked.findings[0]?.advice).toContain('nothing listens there: check upstreams.lab.url');
  });

  it('that cuts the connection', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({ kind: 'ping' }, cut('before', 'rst'));
    const checked = await checkUpstream({ upstream: { url: upstream.url } });
    expect(verdicts(checked)).toEqual(['connection ok', 'connection fail']);
    expect(checked.findings[1]?.advice).toContain('proxy');
  });

  it('that says nothing: after its time, not for ever', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.accept = 'hang';
    const clock = new FakeClock();
    const running = checkUpstream({ upstream: { url: upstream.url }, machine: { clock } });
    await eventually(
      () => upstream.connections >= 2,
      () => `${upstream.connections} connections`,
    );
    await clock.advance(8_000);
    const checked = await running;
    expect(verdicts(checked)).toEqual(['connection ok', 'connection fail']);
    expect(checked.findings[1]?.message).toContain('no answer in 8000 ms');
    expect(clock.pending).toBe(0);
  });

  it('behind a proxy, which looks the name up and whose password stays hidden', async () => {
    await using proxy = await serve((_, response) => response.end('{}'));
    const env = { HTTP_PROXY: `http://me:hunter2-hunter2@127.0.0.1:${proxy.port}` };
    const checked = await checkUpstream({ upstream: { url: 'http://registry.invalid' }, env });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry ok']);
    expect(checked.findings[0]?.message).toContain(`through the proxy 127.0.0.1:${proxy.port}`);
    expect(proxy.seen.map(({ url }) => url)).toEqual(['http://registry.invalid/v2/']);
    expect(checked.text).not.toContain('hunter2');
  });

  it('behind a proxy that wants another password', async () => {
    await using proxy = await serve((_, response) => void response.writeHead(407).end());
    const env = { HTTP_PROXY: `http://me:hunter2-hunter2@127.0.0.1:${proxy.port}` };
    const checked = await checkUpstream({ upstream: { url: 'http://registry.invalid' }, env });
    expect(verdicts(checked)).toEqual(['connection ok', 'connection fail']);
    expect(checked.findings[1]).toMatchObject({
      message: expect.stringContaining('the proxy wants other credentials'),
      advice: expect.stringContaining('HTTP_PROXY'),
    });
    expect(checked.text).not.toContain('hunter2');
  });

  it('behind a proxy that is not there', async () => {
    const gone = await ScriptedUpstream.start();
    await gone.stop();
    const checked = await checkUpstream({ upstream: { url: 'http://registry.invalid', proxy: gone.url } });
    expect(verdicts(checked)).toEqual(['connection fail']);
    expect(checked.findings[0]?.advice).toContain('it is the proxy that fails');
  });

  it('each of whose endpoints counts', async () => {
    await using upstream = await ScriptedUpstream.start();
    const gone = await ScriptedUpstream.start();
    await gone.stop();
    const checked = await checkUpstream({ upstream: { url: gone.url, endpoints: [upstream.url] } });
    expect(verdicts(checked)).toEqual(['connection fail', 'connection ok', 'registry ok']);
  });
});

describe('weir doctor, of TLS', () => {
  let count = 0;
  /** A registry with a certificate for these names. */
  async function hello(names: readonly string[], dates?: readonly string[]): Promise<TestServer> {
    count += 1;
    const { cert, key } = await authority.sign(`server${count}`, names, dates);
    return serveTls({ cert, key }, (_, response) => response.end('{}'));
  }

  it('an authority that nobody knows', async () => {
    await using upstream = await ScriptedUpstream.start({ tls: true });
    const checked = await checkUpstream({ upstream: { url: upstream.url } });
    expect(verdicts(checked)).toEqual(['tls fail']);
    expect(checked.findings[0]?.advice).toContain("name the authority's file in upstreams.lab.tls.ca");
  });

  it('one that configuration knows', async () => {
    await using server = await hello(['IP:127.0.0.1'], ['-days', '90']);
    const checked = await checkUpstream({ upstream: { url: server.url.origin, tls: { ca: authority.caFile } } });
    expect(verdicts(checked)).toEqual(['connection ok', 'tls ok', 'registry ok']);
    expect(checked.findings[1]?.message).toMatch(/by ca, good until \d{4}-\d\d-\d\d/);
  });

  it.each([
    ['90', 70, 'ok'],
    ['90', 80, 'warn'],
    // Renewed every few days, so ten days before its end is early.
    ['10', 1, 'ok'],
    ['10', 9, 'warn'],
  ])('one that is good for %s days, after %d', async (days, after, level) => {
    await using server = await hello(['IP:127.0.0.1'], ['-days', days]);
    const clock = new FakeClock(Date.now() + after * 86_400_000);
    const upstream = { url: server.url.origin, tls: { ca: authority.caFile } };
    const checked = await checkUpstream({ upstream, machine: { clock } });
    expect(verdicts(checked)).toContain(`tls ${level}`);
    expect(checked.code).toBe(0);
  });

  it('one that has expired', async () => {
    await using server = await hello(['IP:127.0.0.1'], ['-days', '-1']);
    const checked = await checkUpstream({ upstream: { url: server.url.origin, tls: { ca: authority.caFile } } });
    expect(verdicts(checked)).toEqual(['tls fail']);
    expect(checked.findings[0]?.advice).toContain('has expired');
  });

  it('one for another name', async () => {
    await using server = await hello(['DNS:elsewhere.example']);
    const checked = await checkUpstream({ upstream: { url: server.url.origin, tls: { ca: authority.caFile } } });
    expect(verdicts(checked)).toEqual(['tls fail']);
    expect(checked.findings[0]?.advice).toContain('for another name');
  });

  it('one that is not looked at', async () => {
    await using upstream = await ScriptedUpstream.start({ tls: true });
    const checked = await checkUpstream({ upstream: { url: upstream.url, tls: { insecureSkipVerify: true } } });
    expect(verdicts(checked)).toEqual(['connection ok', 'tls warn', 'registry ok']);
  });

  it('https where plain http is spoken, and the other way round', async () => {
    await using http = await serve((_, response) => response.end('{}'));
    const checked = await checkUpstream({ upstream: { url: http.url.origin.replace('http:', 'https:') } });
    expect(verdicts(checked)).toEqual(['tls fail']);
    expect(checked.findings[0]?.advice).toContain('http://');
    expect(checked.findings[0]?.message).toMatch(/: wrong version number \(ERR_SSL_WRONG_VERSION_NUMBER\)$/);
    await using https = await ScriptedUpstream.start({ tls: true });
    const other = await checkUpstream({ upstream: { url: https.url.replace('https:', 'http:') } });
    expect(verdicts(other)[0]).toBe('connection ok');
    expect(other.code).toBe(1);
  });
});

describe('weir doctor, of what answers', () => {
  it.each([
    ['a page for people', html(), 'registry fail', 'a login page on the way'],
    ['a page for people with 403', html(403), 'registry fail', 'a login page on the way'],
    ['404', answer(404), 'registry fail', 'weir asks for /v2/ below it'],
    ['503', answer(503), 'registry fail', 'try again later'],
    ['429', answer(429), 'registry warn', 'higher limit'],
    ['401 without a challenge', answer(401), 'registry warn', 'pulls may still work'],
    ['bytes that are no HTTP', raw('hello\r\n\r\n'), 'registry fail', 'no registry'],
    ['a redirect to nowhere', { redirect: { status: 302, to: 'ftp://x' } }, 'registry fail', 'allowHosts'],
  ])('%s', async (_, behaviour, verdict, advice) => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({ kind: 'ping' }, behaviour);
    const checked = await checkUpstream({ upstream: { url: upstream.url } });
    expect(verdicts(checked)).toEqual(['connection ok', verdict]);
    expect(checked.findings[1]?.advice).toContain(advice);
  });

  it('404 below a path, where a project was written into the URL', async () => {
    await using upstream = await ScriptedUpstream.start();
    const checked = await checkUpstream({ upstream: { url: `${upstream.url}/proxy` } });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry fail']);
    expect(checked.findings[1]?.advice).toMatch(
      /a project or namespace goes into upstreams\.[^ ]*\.prefix, not into the URL$/,
    );
  });

  it('400 to plain http, as servers of TLS say it', async () => {
    await using upstream = await ScriptedUpstream.start();
    upstream.on({ kind: 'ping' }, answer(400));
    const checked = await checkUpstream({ upstream: { url: upstream.url } });
    expect(checked.findings[1]?.advice).toContain('where TLS is spoken, write https://');
  });

  it.each([
    [-300, 'warn', '300 s behind'],
    [300, 'warn', '300 s ahead of'],
    [-50, undefined, ''],
    [50, undefined, ''],
  ])('a clock that is %d s off: %s', async (seconds, level, words) => {
    await using upstream = await ScriptedUpstream.start();
    const now = Date.UTC(2026, 5, 1);
    upstream.on({ kind: 'ping' }, headers({ Date: new Date(now).toUTCString() }));
    const clock = new FakeClock(now + seconds * 1000);
    const { findings } = await checkUpstream({ upstream: { url: upstream.url }, machine: { clock } });
    const found = findings.find(({ check }) => check === 'clock');
    expect(found?.level).toBe(level);
    if (words !== '') expect(found?.message).toMatch(new RegExp(words.replace(/\d+/, '(299|300)')));
  });

  it('an old answer of a cache on the way is no skew', async () => {
    await using upstream = await ScriptedUpstream.start();
    const now = Date.UTC(2026, 5, 1);
    const date = new Date(now - 3_600_000).toUTCString();
    upstream.on({ kind: 'ping' }, headers({ Date: date, Age: '3600' }));
    const checked = await checkUpstream({ upstream: { url: upstream.url }, machine: { clock: new FakeClock(now) } });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry ok']);
  });
});

describe('weir doctor, of credentials', () => {
  const password = 'hunter2-hunter2';
  const auth = { username: 'me', passwordEnv: 'LAB_PASSWORD' };
  const basic = { kind: 'basic', users: { me: password } } as const;
  const bearer = () => ({ kind: 'bearer', issuer: new TokenIssuer({ users: { me: password } }) }) as const;

  it.each([
    ['Basic', basic],
    ['tokens', bearer()],
  ])('%s: taken, or refused, and never shown', async (_, registry) => {
    await using upstream = await ScriptedUpstream.start({ auth: registry });
    const good = await checkUpstream({ upstream: { url: upstream.url, auth }, env: { LAB_PASSWORD: password } });
    expect(verdicts(good)).toEqual(['connection ok', 'registry ok', 'credentials ok']);
    expect(good.findings[2]?.message).toContain('takes the configured credential');
    const bad = await checkUpstream({
      upstream: { url: upstream.url, auth },
      env: { LAB_PASSWORD: `not-${password}` },
    });
    expect(verdicts(bad)).toEqual(['connection ok', 'registry ok', 'credentials fail']);
    expect(bad.findings[2]?.advice).toContain('check user and password (upstreams.lab.auth');
    expect(bad.code).toBe(1);
    for (const { text } of [good, bad]) {
      expect(text).not.toContain(password);
      expect(text).not.toContain(Buffer.from(`me:${password}`).toString('base64'));
    }
  });

  it('taken, for a repository that the account may not read', async () => {
    const issuer = new TokenIssuer({ users: { me: password } });
    await using upstream = await ScriptedUpstream.start({ auth: { kind: 'bearer', issuer } });
    upstream.on({ kind: 'manifest' }, answer(403));
    const checked = await checkUpstream({ upstream: { url: upstream.url, auth }, env: { LAB_PASSWORD: password } });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry ok', 'credentials ok']);
    expect(checked.findings[2]?.message).toContain('answers 403 for');
  });

  it('not asked for', async () => {
    await using upstream = await ScriptedUpstream.start();
    const checked = await checkUpstream({ upstream: { url: upstream.url, auth }, env: { LAB_PASSWORD: password } });
    expect(checked.findings[2]).toMatchObject({ level: 'ok', message: expect.stringContaining('did not ask') });
  });

  it('for a token server that configuration does not name', async () => {
    const issuer = new TokenIssuer({ users: { me: password }, privateRepositories: ['weir/doctor'] });
    await using tokens = await ScriptedUpstream.start({ tokens: issuer });
    await using upstream = await ScriptedUpstream.start({
      auth: { kind: 'bearer', issuer, realm: `${tokens.url}/token` },
    });
    const checked = await checkUpstream({ upstream: { url: upstream.url, auth }, env: { LAB_PASSWORD: password } });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry ok', 'credentials fail']);
    expect(checked.findings[2]?.message).toContain('add it to upstreams.lab.realms');
    expect(tokens.matching({ kind: 'token' }).every(({ headers: sent }) => !('authorization' in sent))).toBe(true);
  });

  it('whose token server is down', async () => {
    const tokens = await ScriptedUpstream.start();
    await tokens.stop();
    await using upstream = await ScriptedUpstream.start({
      auth: { kind: 'bearer', issuer: new TokenIssuer(), realm: `${tokens.url}/token` },
    });
    const realms = [tokens.host];
    const checked = await checkUpstream({
      upstream: { url: upstream.url, auth, realms },
      env: { LAB_PASSWORD: password },
    });
    expect(checked.findings.at(-1)).toMatchObject({
      level: 'fail',
      check: 'credentials',
      message: expect.stringContaining(tokens.host),
      advice: expect.stringContaining('where tokens come from'),
    });
  });
});

describe('weir doctor, of Docker Hub', () => {
  const preview = { kind: 'manifest', repository: 'ratelimitpreview/test' } as const;

  it.each([
    [{ 'RateLimit-Limit': '100;w=21600', 'RateLimit-Remaining': '76;w=21600' }, 'ok', '76 of 100 pulls are left'],
    [{ 'RateLimit-Limit': '100;w=21600', 'RateLimit-Remaining': '9;w=21600' }, 'warn', '9 of 100 pulls are left'],
    [{ 'RateLimit-Limit': '100;w=21600', 'RateLimit-Remaining': '0;w=21600' }, 'fail', '0 of 100 pulls are left'],
    [{}, 'ok', 'names no limit'],
  ])('%j: %s', async (set, level, words) => {
    await using hub = await ScriptedUpstream.start();
    hub.on(preview, headers(set));
    const checked = await checkUpstream({ key: 'docker.io', upstream: { url: hub.url } });
    const [found] = checked.findings.filter(({ check }) => check === 'rateLimit');
    expect(found).toMatchObject({ subject: 'docker.io', level, message: expect.stringContaining(words) });
    if (level !== 'ok') expect(found?.advice).toContain('configure an account');
    expect(hub.matching(preview).map(({ method }) => method)).toEqual(['HEAD']);
  });

  it('429: none are left', async () => {
    await using hub = await ScriptedUpstream.start();
    hub.on(preview, answer(429));
    const checked = await checkUpstream({ key: 'docker.io', upstream: { url: hub.url } });
    expect(verdicts(checked)).toEqual(['connection ok', 'registry ok', 'rateLimit fail']);
  });

  it('is the only one that is asked', async () => {
    await using other = await ScriptedUpstream.start();
    await checkUpstream({ upstream: { url: other.url } });
    expect(other.count({ kind: 'manifest' })).toBe(0);
  });
});
