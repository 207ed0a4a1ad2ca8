import { chmod, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CredentialHelpers, helperServer } from '../../../src/upstream/credentials/helper.ts';
import type { Credential } from '../../../src/upstream/credentials/credentials.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';

const { signal } = new AbortController();

/** `docker-credential-test` does this; each run leaves a line in `runs`, with what it got. */
async function helper(
  temp: TempDirectory,
  lines: readonly string[],
  clock = new FakeClock(),
): Promise<CredentialHelpers> {
  const path = temp.file('docker-credential-test');
  await writeFile(
    path,
    ['#!/bin/sh', `input=$(cat); echo "$1 $input" >> '${temp.file('runs')}'`, ...lines, ''].join('\n'),
  );
  await chmod(path, 0o755);
  return new CredentialHelpers({ clock, environment: { PATH: `${temp.path}:/usr/bin:/bin` } });
}

async function runsIn(temp: TempDirectory): Promise<readonly string[]> {
  const text = await readFile(temp.file('runs'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

function plain(credential: Credential | undefined): unknown {
  if (credential === undefined) return undefined;
  const { kind } = credential;
  return credential.kind === 'basic'
    ? { kind, username: credential.username, secret: credential.password.reveal() }
    : { kind, secret: credential.token.reveal() };
}

/** A zombie is dead: in a container nobody may be there to bury it. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) [ZX] /.test(stat);
}

describe('CredentialHelpers', () => {
  it('runs "get" with the server on standard input', async () => {
    await using temp = await tempDirectory();
    const helpers = await helper(temp, [`echo '{"ServerURL":"x","Username":"AWS","Secret":"p:w"}'`, 'echo noise >&2']);
    expect(plain(await helpers.get('test', 'ghcr.io', signal))).toEqual({
      kind: 'basic',
      username: 'AWS',
      secret: 'p:w',
    });
    expect(await runsIn(temp)).toEqual(['get ghcr.io']);
  });

  it('passes nothing through a shell', async () => {
    await using temp = await tempDirectory();
    const helpers = await helper(temp, [`echo '{"Username":"u","Secret":"s"}'`]);
    const server = `$(touch ${temp.file('owned')}); echo 'x' "y" \`id\``;
    await helpers.get('test', server, signal);
    expect(await runsIn(temp)).toEqual([`get ${server}`]);
    await expect(readFile(temp.file('owned'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('reads <token> as an identity token, and an empty answer as none', async () => {
    await using temp = await tempDirectory();
    const token = await helper(temp, [`echo '{"Username":"<token>","Secret":"refresh"}'`]);
    expect(plain(await token.get('test', 'a', signal))).toEqual({ kind: 'identityToken', secret: 'refresh' });
    const empty = await helper(temp, [`echo '{"ServerURL":"","Username":"","Secret":""}'`]);
    expect(await empty.get('test', 'a', signal)).toBeUndefined();
  });

  it('is anonymous when the helper says that it has nothing', async () => {
    await using temp = await tempDirectory();
    const helpers = await helper(temp, ['echo credentials not found in native keychain', 'exit 1']);
    expect(await helpers.get('test', 'a', signal)).toBeUndefined();
  });

  it.each([
    ['fails and says why', ['echo no AWS session', 'exit 1'], 'exit 1): no AWS session'],
    ['fails without a word', ['exit 3'], 'exit 3)'],
    ['dies of a signal', ['kill -9 $$'], 'by signal'],
    ['fails after printing a secret', [`echo '{"Username":"u","Secret":"c4n4ry"}'`, 'exit 1'], 'exit 1)'],
    ['prints something else', ['echo c4n4ry'], 'did not print a credential'],
    ['prints half an answer', [`echo '{"Username":"u","Secret":"c4n4ry'`], 'did not print a credential'],
    ['prints an array', ['echo "[]"'], 'did not print a credential'],
    ['prints too much', ['head -c 100000 /dev/zero', 'sleep 60'], 'printed more than 65536 bytes'],
  ])('rejects when the helper %s, without repeating what may be secret', async (_name, lines, message) => {
    await using temp = await tempDirectory();
    const helpers = await helper(temp, ['echo c4n4ry >&2', ...lines]);
    const error: unknown = await helpers.get('test', 'a', signal).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ kind: 'helperFailed', message: expect.stringContaining(message) });
    expect(String(error)).not.toContain('c4n4ry');
    // A failure is not remembered.
    await expect(helpers.get('test', 'a', signal)).rejects.toMatchObject({ kind: 'helperFailed' });
    expect(await runsIn(temp)).toHaveLength(2);
  });

  it('rejects when there is no such helper, or its name is a path', async () => {
    await using temp = await tempDirectory();
    const helpers = await helper(temp, []);
    await expect(helpers.get('absent', 'a', signal)).rejects.toMatchObject({
      kind: 'helperFailed',
      message: expect.stringContaining('docker-credential-absent: ENOENT'),
    });
    for (const name of ['', '../test', 'a/b', 'a b', 'a;b', 'a\0b', 'ä']) {
      await expect(helpers.get(name, 'a', signal)).rejects.toMatchObject({ kind: 'malformed' });
    }
    expect(await runsIn(temp)).toEqual([]);
  });

  it('ends a helper that hangs, with everything it started', async () => {
    await using temp = await tempDirectory();
    const clock = new FakeClock();
    const helpers = await helper(temp, [`sh -c 'echo $$ > ${temp.file('child')}; exec sleep 600' &`, 'wait'], clock);
    const failed = expect(helpers.get('test', 'a', signal)).rejects.toMatchObject({ kind: 'helperTimeout' });
    const childPid = async (): Promise<number> => Number(await readFile(temp.file('child'), 'utf8').catch(() => '0'));
    await eventually(async () => (await childPid()) > 0);
    await clock.advance(9_999);
    expect(await isAlive(await childPid())).toBe(true);
    await clock.advance(1);
    await failed;
    const pid = await childPid();
    await eventually(async () => !(await isAlive(pid)));
    expect(clock.pending).toBe(0);
  });

  it('runs once for many who ask, and goes on when one of them leaves', async () => {
    await using temp = await tempDirectory();
    const helpers = await helper(temp, [
      `while [ ! -e '${temp.file('go')}' ]; do sleep 0.02; done`,
      `echo '{"Username":"u","Secret":"s"}'`,
    ]);
    const control = new AbortController();
    const leaving = expect(helpers.get('test', 'a', control.signal)).rejects.toThrow('left');
    const staying = Array.from({ length: 20 }, () => helpers.get('test', 'a', signal));
    await eventually(async () => (await runsIn(temp)).length === 1);
    control.abort(new Error('left'));
    await leaving;
    await writeFile(temp.file('go'), '');
    expect(new Set((await Promise.all(staying)).map((credential) => credential?.identity)).size).toBe(1);
    expect(await runsIn(temp)).toHaveLength(1);
  });

  it('remembers an answer for 15 minutes, and an absence for one', async () => {
    await using temp = await tempDirectory();
    const clock = new FakeClock();
    const found = await helper(temp, [`echo '{"Username":"u","Secret":"s"}'`], clock);
    await found.get('test', 'a', signal);
    await clock.advance(15 * 60_000 - 1);
    await found.get('test', 'a', signal);
    expect(await runsIn(temp)).toHaveLength(1);
    await clock.advance(1);
    await found.get('test', 'a', signal);
    expect(await runsIn(temp)).toHaveLength(2);
    const absent = await helper(temp, ['echo credentials not found in native keychain', 'exit 1'], clock);
    await absent.get('test', 'b', signal);
    await clock.advance(59_999);
    await absent.get('test', 'b', signal);
    expect(await runsIn(temp)).toHaveLength(3);
    await clock.advance(1);
    await absent.get('test', 'b', signal);
    expect(await runsIn(temp)).toHaveLength(4);
  });

  it('runs again after a refusal, though not for each of many at once', async () => {
    await using temp = await tempDirectory();
    const clock = new FakeClock();
    const helpers = await helper(
      temp,
      [`echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$(wc -l < '${temp.file('runs')}')\\"}"`],
      clock,
    );
    const first = await helpers.get('test', 'a', signal);
    helpers.refused('test', 'a');
    expect((await helpers.get('test', 'a', signal))?.identity).toBe(first?.identity);
    await clock.advance(10_000);
    helpers.refused('test', 'a');
    expect((await helpers.get('test', 'a', signal))?.identity).not.toBe(first?.identity);
    helpers.refused('test', 'a');
    await helpers.get('test', 'a', signal);
    expect(await runsIn(temp)).toHaveLength(2);
  });

  it('ends what runs when it is closed', async () => {
    await using temp = await tempDirectory();
    const helpers = await helper(temp, [`echo $$ > ${temp.file('pid')}`, 'sleep 600']);
    const failed = expect(helpers.get('test', 'a', signal)).rejects.toThrow();
    const pidOf = async (): Promise<number> => Number(await readFile(temp.file('pid'), 'utf8').catch(() => '0'));
    await eventually(async () => (await pidOf()) > 0);
    helpers.close();
    await failed;
    const pid = await pidOf();
    await eventually(async () => !(await isAlive(pid)));
  });

  it('calls Docker Hub by its old address', () => {
    expect(helperServer('docker.io')).toBe('https://index.docker.io/v1/');
    expect(helperServer('ghcr.io')).toBe('ghcr.io');
  });
});
