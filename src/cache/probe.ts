/** Finding out whether an anonymous client could read a repository. */
import { parseTag, type Tag } from '../oci/reference.ts';
import type { RepositoryKey } from '../store/catalog.ts';
import type { UpstreamError } from '../upstream/errors.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { ProbeSubject } from './policy-deps.ts';
import { readTags } from './tags-page.ts';
import { isDenied, isNotFound, isUnsupported } from './refusals.ts';

/** An error (404) says that the subject does not exist there, so nothing was learnt about the repository. */
export type ProbeResult = 'public' | 'private' | UpstreamError;

/** Rejects with UpstreamError when the upstream gave no word. */
export async function probe(
  upstream: Upstream,
  key: RepositoryKey,
  subject: ProbeSubject,
  signal: AbortSignal,
): Promise<ProbeResult> {
  if (await isReadable(upstream, key, subject, signal)) return 'public';
  // "No" also means "no such thing", and some registries say 404 where they mean "not for you". What only the credential
  // can see is private; what nobody can see teaches nothing.
  try {
    await askWithCredential(upstream, key, subject, signal);
    return 'private';
  } catch (error) {
    if (isDenied(error)) return 'private';
    if (isNotFound(error)) return error;
    throw error;
  }
}

/**
 * Some tag of the repository, by the credential's eyes; nothing of it leaves weir before a probe has passed. Undefined
 * where there is none or tags cannot be listed.
 */
export async function discoverTag(
  upstream: Upstream,
  key: RepositoryKey,
  signal: AbortSignal,
): Promise<Tag | undefined> {
  try {
    const page = await upstream.listTags(key.repository, { n: 1 }, signal);
    return parseTag(readTags(page.bytes)?.[0] ?? '');
  } catch (error) {
    if (isNotFound(error) || isDenied(error) || isUnsupported(error)) return undefined;
    throw error;
  }
}

/** A key for the question. */
export function subjectText(subject: ProbeSubject): string {
  if ('digest' in subject) return `${subject.kind} ${subject.digest}`;
  const { reference } = subject;
  return `manifest ${reference.kind === 'tag' ? reference.tag : reference.digest}`;
}

async function isReadable(
  upstream: Upstream,
  { repository }: RepositoryKey,
  subject: ProbeSubject,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return await upstream.probeAnonymous(repository, asked(subject), signal);
  } catch (error) {
    if (isDenied(error) || isNotFound(error)) return false;
    throw error;
  }
}

function asked(subject: ProbeSubject): Parameters<Upstream['probeAnonymous']>[1] {
  if ('reference' in subject) return { kind: 'manifest', reference: subject.reference };
  if (subject.kind === 'blob') return { kind: 'blob', digest: subject.digest };
  return { kind: 'manifest', reference: { kind: 'digest', digest: subject.digest } };
}

async function askWithCredential(
  upstream: Upstream,
  { repository }: RepositoryKey,
  subject: ProbeSubject,
  signal: AbortSignal,
): Promise<void> {
  const question = asked(subject);
  if (question.kind === 'blob') await upstream.statBlob(repository, question.digest, signal);
  else await upstream.headManifest(repository, question.reference, signal);
}
