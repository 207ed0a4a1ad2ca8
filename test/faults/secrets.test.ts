import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { type RawResponse, rawFetch } from '../support/raw-client.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDirectory } from '../support/temp.ts';
import { TokenIssuer } from '../support/upstream/auth.ts';
import { answer, redirect } from '../support/upstream/behaviour.ts';
import { Daemon } from './support/daemon.ts';
import { runProgram } from './support/program.ts';

const password = 'canary-password-5f3a';
const wrongPassword = 'canary-wrong-81bc';
const signature = 'canary-signature-c07d';
const clientSecret = 'canary-client-9d10';
const forms = (secret: string): readonly string[] => [
  secret,
  Buffer.from(secret).toString('base64').replace(/=+$/, ''),
  Buffer.from(`weir:${secret}`).toString('base64').replace(/=+$/, ''),
  encodeURIComponent(secret),
];

/** Every file below, as text, deleted ones left out. */
function textBelow(directory: string): string {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const files = names.map((name) => join(directory, name)).filter((path) => statSync(path).isFile());
  return files.map((path) => readFileSync(path, 'latin1')).join('\n');
}

it('credentials, tokens and signatures are in no log, metric, answer, file of the cache, or output of a command', async () => {
  await using directory = await tempDirectory('weir-secrets');
  const issuer = new TokenIssuer({ users: { weir: password }, privateRepositories: ['team/app'] });
  await using bearer = await ScriptedUpstream.start({ auth: { kind: 'bearer', issuer } });
  await using basic = await ScriptedUpstream.start({ auth: { kind: 'basic', users: { weir: password } } });
  const image = buildImage({ seed: 'secrets' });
  for (const { content } of [bearer, basic]) content.add('team/app', image, 'latest');
  const [config, layer] = image.blobs.map(({ digest }) => digest);
  // One blob lies behind a signed URL, another one behind a signed URL that has expired.
  bearer.on(
    { kind: 'blob', reference: layer ?? '' },
    redirect(`${basic.url}/cdn/${layer}?X-Amz-Signature=${signature}&token=${signature}`),
  );
  basic.on({ kind: 'blob', reference: layer ?? '' }, redirect(`${bearer.url}/cdn/${layer}?sig=${signature}`));
  bearer.on({ kind: 'cdn', where: ({ query }) => query.has('sig') }, answer(403, { body: `no ${signature}` }));

  const file = (name: string, text: string): string => {
    writeFileSync(directory.file(name), `${text}\n`, { mode: 0o600 });
    return directory.file(name);
  };
  const auth = { username: 'weir', passwordFile: file('password', password) };
  const wrong = { username: 'weir', passwordFile: file('wrong', wrongPassword) };
  const upstreams = {
    bearer: { url: bearer.url, access: 'all', auth, tags: { ttl: '0s' } },
    basic: { url: basic.url, access: 'all', auth: { username: 'weir', passwordEnv: 'CANARY' } },
    'wrong-bearer': { url: bearer.url, access: 'all', auth: wrong },
    'wrong-basic': { url: basic.url, access: 'all', auth: wrong },
    public: { url: bearer.url, auth },
    nowhere: { url: 'http://127.0.0.1:1', access: 'all', auth },
  };
  await using weir = await Daemon.start({
    directory: directory.file('weir'),
    upstreams,
    config: { log: { level: 'debug' } },
    env: { CANARY: password },
  });

  const answers: RawResponse[] = [];
  const headers = { Authorization: `Bearer ${clientSecret}`, Cookie: `session=${clientSecret}` };
  for (const key of Object.keys(upstreams)) {
    for (const place of [
      'manifests/latest',
      `blobs/${config}`,
      `blobs/${layer}`,
      'tags/list',
      `referrers/${image.digest}`,
      'manifests/none',
    ]) {
      for (const method of ['GET', 'HEAD']) {
        const path = `/v2/${key}/team/app/${place}?token=${clientSecret}`;
        answers.push(await rawFetch(`${weir.url}${path}`, { method, headers, timeoutMs: 30_000 }));
      }
    }
  }
  issuer.revokeAll();
  answers.push(await rawFetch(`${weir.url}/v2/bearer/team/app/manifests/latest`));
  const metrics = await (await fetch(`http://127.0.0.1:${weir.adminPort}/metrics`)).text();
  expect(await weir.stop()).toBe(0);

  const yaml = directory.file('weir', 'weir.yaml');
  const env = { CANARY: password };
  const shown = await runProgram(['config', 'show', '--config', yaml], { cwd: directory.path, env });
  const checked = await runProgram(['config', 'check', '--config', yaml], { cwd: directory.path, env });
  const gone = await runProgram(['config', 'check', '--config', yaml], { cwd: directory.path });
  expect([shown.code, checked.code]).toEqual([0, 0]);
  expect(shown.out).toContain('bearer');

  // Everything was used: good and bad credentials, tokens, and signed places.
  const statuses = new Set(answers.map(({ status }) => status));
  for (const status of [200, 403, 404, 502]) expect(statuses).toContain(status);
  expect(issuer.issued.length).toBeGreaterThan(1);
  expect(bearer.count({ kind: 'cdn' })).toBeGreaterThan(0);
  expect(basic.count({ kind: 'cdn' })).toBeGreaterThan(0);
  expect(bearer.count({ where: ({ headers: sent }) => 'authorization' in sent })).toBeGreaterThan(5);

  const log = readFileSync(weir.logFile, 'utf8');
  expect(log.length).toBeGreaterThan(5000);
  const texts = {
    log,
    metrics,
    answers: answers.map(({ rawHeaders, body }) => JSON.stringify(rawHeaders) + body.toString('latin1')).join('\n'),
    files: textBelow(weir.root),
    commands: JSON.stringify([shown, checked, gone]),
  };
  const tokens = issuer.issued.map(({ token }) => token);
  const secrets = [...[password, wrongPassword, signature].flatMap(forms), ...tokens, clientSecret];
  const leaks = Object.entries(texts).flatMap(([place, text]) =>
    secrets
      .filter((secret) => text.includes(secret))
      // A client gets its own address back, as the place of what it asked for.
      .filter((secret) => !(place === 'answers' && secret === clientSecret))
      .map(
        (secret) =>
          `${secret} in ${place}: ${text.slice(Math.max(0, text.indexOf(secret) - 200), text.indexOf(secret) + 50)}`,
      ),
  );
  expect(leaks).toEqual([]);
  // What the client sent went to no upstream either.
  for (const { requests } of [bearer, basic])
    expect(JSON.stringify(requests.map(({ rawHeaders, target }) => [rawHeaders, target]))).not.toContain(clientSecret);
});
