import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { Gate } from '../support/gate.ts';
import { FakeUpstream, imageManifest } from './support/fake-upstream.ts';
import { patient, PolicyRig, tag } from './support/policy-rig.ts';
import { PullRig } from './support/pull-rig.ts';

const repo = 'team/app';
const name = `${repo}:1`;
const image = imageManifest('image');
const blob = digestOf('layer');
const never = new AbortController().signal;
const hour = 3_600_000;
const day = 24 * hour;
const isDenied = { name: 'CacheError', kind: 'denied' };

let upstream: FakeUpstream;
let rig: PolicyRig;

beforeEach(() => {
  upstream = new FakeUpstream('ghcr.io');
  upstream.hasCredential = true;
  upstream.push(repo, image, '1');
  upstream.repository(repo).blobs.add(blob);
  rig = new PolicyRig([upstream]);
});
afterEach(() => {
  upstream.gate?.open();
  rig[Symbol.dispose]();
});

function admit(subject?: Parameters<PolicyRig['rights']['admit']>[1]): Promise<void> {
  return patient(rig.rights.admit(rig.key(repo), subject, never), 'a verdict');
}

const manifestSubject = { kind: 'manifest', reference: { kind: 'tag', tag: tag('1') } } as const;
const blobSubject = { kind: 'blob', digest: blob } as const;
const probe = `PROBE ${name}`;

describe('no probe is needed', () => {
  it('where no credential is configured', async () => {
    upstream.hasCredential = false;
    upstream.repository(repo).isPublic = false;
    await admit(manifestSubject);
    expect(upstream.calls).toEqual([]);
  });

  it('where the operator gives access to all', async () => {
    using open = new PolicyRig([upstream], { policy: { access: 'all' } });
    upstream.repository(repo).isPublic = false;
    await open.rights.admit(open.key(repo), manifestSubject, never);
    expect(upstream.calls).toEqual([]);
    expect((await open.get(name)).digest).toBe(image.digest);
  });
});

describe('a repository behind a credential', () => {
  it('is served when an anonymous client could read it, asked once in an hour', async () => {
    for (let i = 0; i < 5; i++) await admit(i % 2 === 0 ? manifestSubject : blobSubject);
    await rig.clock.advance(hour / 2 - 1);
    rig.restart();
    await admit(manifestSubject);
    expect(upstream.calls).toEqual([probe]);
  });

  it('costs fifty concurrent clients one probe', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const clients = Array.from({ length: 50 }, () => admit(manifestSubject));
    await gate.arrived();
    gate.open();
    await Promise.all(clients);
    expect(upstream.calls).toEqual([probe]);
  });

  it('is refused when only the credential can read it, for a minute without asking again', async () => {
    upstream.repository(repo).isPublic = false;
    await expect(admit(manifestSubject)).rejects.toMatchObject(isDenied);
    upstream.takeCalls();
    upstream.repository(repo).isPublic = true;
    expect(rig.catalog.verdict(rig.key(repo))).toBeUndefined();
    await rig.clock.advance(59_999);
    await expect(admit(blobSubject)).rejects.toMatchObject(isDenied);
    expect(upstream.takeCalls()).toEqual([]);
    await rig.clock.advance(1);
    await admit(blobSubject);
  });

  it('is refused before anything is looked up, whatever is cached', async () => {
    await rig.get(name);
    await rig.tags(repo);
    await rig.referrers(repo, image.digest);
    upstream.repository(repo).isPublic = false;
    await rig.clock.advance(hour);
    for (const answer of [
      () => rig.get(name),
      () => rig.head(name),
      () => rig.get(`${repo}@${image.digest}`),
      () => rig.head(`${repo}@${image.digest}`),
      () => rig.tags(repo),
      () => rig.referrers(repo, image.digest),
    ]) {
      await expect(answer()).rejects.toMatchObject(isDenied);
    }
    const whole = { upstream: undefined, n: undefined, last: undefined };
    expect((await rig.repositories(whole)).repositories).toEqual([]);
  });

  it('answers the same for what it has and for what it has not, while private', async () => {
    upstream.repository(repo).isPublic = false;
    const { digest } = imageManifest('made up');
    for (const made of [`${repo}:made-up`, `${repo}@${digest}`, name, `${repo}@${image.digest}`]) {
      using fresh = new PolicyRig([upstream]);
      await expect(fresh.get(made)).rejects.toMatchObject(isDenied);
    }
    await expect(admit({ kind: 'blob', digest: digestOf('made up') })).rejects.toMatchObject(isDenied);
  });

  it('is not denied to others by a client that asks for a made-up tag', async () => {
    await expect(rig.get(`${repo}:made-up`)).rejects.toMatchObject({ kind: 'notFound' });
    expect((await rig.get(name)).digest).toBe(image.digest);
  });

  it('that does not exist is a 404, remembered for five seconds', async () => {
    const missing = { kind: 'manifest', reference: { kind: 'tag', tag: tag('x') } } as const;
    const key = rig.key('no/such');
    for (let i = 0; i < 3; i++) {
      await expect(rig.rights.admit(key, missing, never)).rejects.toMatchObject({ kind: 'notFound' });
    }
    expect(upstream.calls.filter((call) => call.startsWith('PROBE'))).toHaveLength(1);
    expect(rig.catalog.verdict(key)).toBeUndefined();
  });

  it('is proved by one of its tags when only its list is wanted', async () => {
    expect((await rig.tags(repo)).tags).toEqual([tag('1')]);
    expect(upstream.takeCalls()).toEqual([`TAGS ${repo} 1,`, probe, `TAGS ${repo} ,`]);
  });

  it('is proved by one of its tags when the referrers of a made-up subject are wanted', async () => {
    const zero = imageManifest('made up').digest;
    expect((await rig.referrers(repo, zero)).manifests).toEqual([]);
    upstream.repository(repo).isPublic = false;
    using fresh = new PolicyRig([upstream]);
    await expect(fresh.referrers(repo, zero)).rejects.toMatchObject(isDenied);
  });

  it('is denied, and not without the API, when nothing proves it and referrers of a made-up subject are wanted', async () => {
    upstream.repository(repo).tags.clear();
    const zero = imageManifest('made up').digest;
    await expect(rig.referrers(repo, zero)).rejects.toMatchObject(isDenied);
    // Nor when it is remembered.
    await expect(rig.referrers(repo, zero)).rejects.toMatchObject(isDenied);
    expect((await rig.referrers(repo, image.digest)).manifests).toEqual([]);
    expect((await rig.referrers(repo, zero)).manifests).toEqual([]);
  });

  it('is an outage when the first probe gets no answer', async () => {
    upstream.mood = 'unreachable';
    await expect(admit(manifestSubject)).rejects.toMatchObject({ name: 'UpstreamError', kind: 'unreachable' });
    upstream.mood = undefined;
    await admit(manifestSubject);
  });
});

describe('a positive verdict', () => {
  beforeEach(async () => {
    await rig.get(name);
    upstream.takeCalls();
  });

  it('is refreshed in the background in its second half, and nobody waits', async () => {
    await rig.clock.advance(hour / 2);
    upstream.gate = new Gate();
    await admit(manifestSubject);
    await admit(blobSubject);
    await upstream.gate.arrived();
    expect(upstream.takeCalls()).toEqual([probe]);
    upstream.gate.open();
    await rig.clock.advance(hour / 2 - 1);
    await admit(manifestSubject);
    expect(upstream.takeCalls()).toEqual([]);
  });

  it('ends within its hour when the repository was made private', async () => {
    upstream.repository(repo).isPublic = false;
    await rig.clock.advance(hour);
    await expect(rig.get(`${repo}@${image.digest}`)).rejects.toMatchObject(isDenied);
    expect(rig.catalog.verdict(rig.key(repo))).toMatchObject({ isPublic: false });
    rig.restart();
    await rig.clock.advance(60_000);
    await expect(rig.get(`${repo}@${image.digest}`)).rejects.toMatchObject(isDenied);
  });

  it('ends when the registry says 404 to strangers and the credential still sees it', async () => {
    upstream.probeSays = 'notFound';
    await rig.clock.advance(hour);
    await expect(admit(manifestSubject)).rejects.toMatchObject(isDenied);
  });

  it('holds during an outage, for 30 days, after at most two seconds once', async () => {
    await rig.clock.advance(29 * day);
    upstream.gate = new Gate();
    const first = rig.get(`${repo}@${image.digest}`);
    await rig.clock.advance(2_000);
    expect((await first).digest).toBe(image.digest);
    expect((await rig.get(`${repo}@${image.digest}`)).digest).toBe(image.digest);
    upstream.gate.open();
    upstream.gate = undefined;
    upstream.mood = 'unreachable';
    await rig.clock.advance(day + hour - 3_000);
    expect((await rig.get(`${repo}@${image.digest}`)).digest).toBe(image.digest);
    await rig.clock.advance(3_000);
    await expect(rig.get(`${repo}@${image.digest}`)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('and a tag that have both expired cost a client two seconds together, not each', async () => {
    await rig.clock.advance(hour);
    upstream.gate = new Gate();
    const answer = rig.get(name);
    await rig.clock.advance(1_999);
    let isTold = false;
    void answer.then(() => (isTold = true));
    await rig.clock.advance(0);
    expect(isTold).toBe(false);
    await rig.clock.advance(1);
    expect((await answer).outcome).toMatchObject({ kind: 'hit', detail: 'stale' });
  });

  it('is asked about once in five seconds during an outage, whatever is asked for', async () => {
    await rig.clock.advance(hour);
    upstream.mood = 'serverError';
    for (let i = 0; i < 20; i++) await admit(i % 2 === 0 ? manifestSubject : blobSubject);
    expect(upstream.calls).toHaveLength(1);
    await rig.clock.advance(5_000);
    await admit(manifestSubject);
    expect(upstream.calls).toHaveLength(2);
  });

  it('holds for ever offline', async () => {
    using offline = new PolicyRig([upstream], { offline: true });
    upstream.mood = 'offline';
    offline.catalog.putVerdict(offline.key(repo), { isPublic: true, checkedAtMs: 0 });
    await offline.rights.admit(offline.key(repo), manifestSubject, never);
    expect(offline.rights.isOpen(offline.key(repo))).toBe(true);
    await expect(offline.rights.admit(offline.key('other/app'), manifestSubject, never)).rejects.toMatchObject({
      kind: 'offline',
    });
  });

  it('does not end because what was asked for, or everything, is gone upstream', async () => {
    await rig.clock.advance(hour);
    upstream.repository(repo).manifests.clear();
    upstream.repository(repo).tags.clear();
    expect((await rig.get(`${repo}@${image.digest}`)).digest).toBe(image.digest);
    expect(rig.catalog.verdict(rig.key(repo))).toMatchObject({ isPublic: true });
  });

  it('from the future counts as expired', async () => {
    rig.clock.setWallTime(rig.clock.now() - 3650 * day);
    rig.restart();
    await admit(manifestSubject);
    expect(upstream.calls).toEqual([probe]);
  });
});

describe('a link', () => {
  const other = 'other/app';

  it('is what a repository may serve a digest over; knowing the digest is nothing', async () => {
    using open = new PolicyRig([upstream], { policy: { access: 'all' } });
    await open.get(name);
    expect(open.rights.isLinked(open.key(repo), image.digest, 'manifest')).toBe(true);
    expect(open.rights.isLinked(open.key(other), image.digest, 'manifest')).toBe(false);
    await expect(open.get(`${other}@${image.digest}`)).rejects.toMatchObject({ kind: 'notFound' });
    upstream.push(other, image);
    upstream.takeCalls();
    await open.clock.advance(5_000);
    const answer = await open.get(`${other}@${image.digest}`);
    expect(answer.outcome.kind).toBe('hit');
    expect(upstream.takeCalls()).toEqual([`HEAD ${other}@${image.digest}`]);
    await open.get(`${other}@${image.digest}`);
    expect(upstream.takeCalls()).toEqual([]);
  });

  it('in a proven public repository needs no question elsewhere', async () => {
    await rig.get(name);
    expect(rig.rights.isLinked(rig.key(other), image.digest, 'manifest')).toBe(true);
    await rig.clock.advance(hour);
    expect(rig.rights.isLinked(rig.key(other), image.digest, 'manifest')).toBe(false);
    expect(rig.rights.isLinked(rig.key(repo), image.digest, 'manifest')).toBe(true);
  });

  it('in a repository that was proven public holds during an outage, also for others that were served over it', async () => {
    upstream.push(other, image, '1');
    await rig.get(name);
    await rig.get(`${other}@${image.digest}`);
    await rig.rights.ask(rig.key(repo), blob, 'blob', never);
    await rig.clock.advance(2 * hour);
    upstream.mood = 'unreachable';
    expect((await rig.get(`${other}@${image.digest}`)).outcome.kind).toBe('hit');
    expect(rig.rights.isLinked(rig.key(other), blob, 'blob')).toBe(true);
    // Not for longer than the outage: it is asked about again.
    await rig.clock.advance(5_000);
    expect(rig.rights.isLinked(rig.key(other), blob, 'blob')).toBe(false);
    upstream.mood = undefined;
    upstream.repository(repo).isPublic = false;
    await expect(patient(rig.rights.ask(rig.key(other), blob, 'blob', never), 'a right')).rejects.toMatchObject({
      kind: 'notFound',
    });
    expect(rig.rights.isLinked(rig.key(other), blob, 'blob')).toBe(false);
  });

  it('of an upstream without credential is public, of one that is not configured any more is not', async () => {
    upstream.hasCredential = false;
    await rig.get(name);
    expect(rig.rights.isLinked(rig.key(other), image.digest, 'manifest')).toBe(true);
    rig.policies.delete('ghcr.io');
    expect(rig.rights.isLinked(rig.key(other), image.digest, 'manifest')).toBe(false);
    await expect(rig.rights.ask(rig.key(repo), blob, 'blob', never)).rejects.toMatchObject({ kind: 'nameUnknown' });
  });

  it('for a blob is none for a manifest, and the other way round', async () => {
    await rig.rights.ask(rig.key(repo), blob, 'blob', never);
    await rig.rights.ask(rig.key(repo), image.digest, 'manifest', never);
    expect(rig.rights.isLinked(rig.key(repo), blob, 'blob')).toBe(true);
    expect(rig.rights.isLinked(rig.key(repo), blob, 'manifest')).toBe(false);
    expect(rig.rights.isLinked(rig.key(repo), image.digest, 'blob')).toBe(false);
    expect(upstream.calls).toEqual([`STAT ${repo}@${blob}`, `HEAD ${repo}@${image.digest}`]);
  });

  it('is asked for once by any number of clients', async () => {
    upstream.gate = new Gate();
    const questions = Array.from({ length: 30 }, () => rig.rights.ask(rig.key(repo), blob, 'blob', never));
    await upstream.gate.arrived();
    upstream.gate.open();
    await Promise.all(questions);
    expect(upstream.calls).toHaveLength(1);
  });

  it('that is refused with 404 is not asked for again for five seconds; other failures are', async () => {
    const missing = digestOf('missing');
    for (const [mood, questions] of [
      [undefined, 1],
      ['denied', 2],
      ['unreachable', 2],
    ] as const) {
      upstream.takeCalls();
      upstream.mood = mood;
      for (let i = 0; i < 2; i++) {
        await expect(rig.rights.ask(rig.key(repo), missing, 'blob', never)).rejects.toMatchObject({
          kind: mood ?? 'notFound',
        });
      }
      expect(upstream.calls).toHaveLength(questions);
      await rig.clock.advance(5_000);
    }
    upstream.mood = undefined;
    upstream.repository(repo).blobs.add(missing);
    await rig.rights.ask(rig.key(repo), missing, 'blob', never);
  });

  it('is not made by an answer that names another digest', async () => {
    upstream.push(repo, { ...image, digest: imageManifest('other').digest });
    const { digest } = imageManifest('asked');
    upstream.repository(repo).manifests.set(digest, image);
    await expect(rig.rights.ask(rig.key(repo), digest, 'manifest', never)).rejects.toMatchObject({ kind: 'mismatch' });
    expect(rig.rights.isLinked(rig.key(repo), digest, 'manifest')).toBe(false);
  });
});

describe('a blob that two public repositories share', () => {
  it('is served to both of them in an outage, however long ago they were proven public', async () => {
    const credentials = { get: () => Promise.resolve(undefined), refused: () => undefined, mayAnswer: () => true };
    await using pulls = await PullRig.start({ prefetchBytes: 'off', credentials });
    for (const shared of ['org/app', 'org/other']) pulls.registry.content.addBlob(shared, 'layer');
    const other = { repository: 'org/other' };
    expect((await pulls.blob(blob)).how).toBe('miss');
    expect((await pulls.blob(blob, other)).how).toBe('hit');
    await pulls.clock.advance(2 * hour);
    await pulls.registry.stop();
    expect((await pulls.blob(blob, other)).how).toBe('hit');
    expect((await pulls.blob(blob)).how).toBe('hit');
    expect(pulls.asked).toHaveLength(1);
  });
});
