/** One upstream, endpoint by endpoint: the way there, what answers, whether the credential is taken, what is left. */
import type { Clock } from '../../lib/clock.ts';
import { isHubName } from '../../oci/known-registries.ts';
import { parseRepository, type Repository } from '../../oci/reference.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { EndpointProbe, SignedIn, Told } from '../../upstream/try-endpoint.ts';
import { endsSoon, type Finding, Findings } from './finding.ts';
import { adviceFor, wordsOf } from './upstream-errors.ts';

/** Beyond this, signed tokens and fresh certificates begin to fail. */
const mostSkewMs = 60_000;

/** Never rejects. `signal` ends it; what was found until then stays. */
export async function checkUpstream(
  key: string,
  probes: readonly EndpointProbe[],
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const found = new Findings(key);
  for (const probe of probes) {
    try {
      await checkEndpoint(probe, clock, found, signal);
    } finally {
      await probe.close();
    }
  }
  return found.list;
}

async function checkEndpoint(probe: EndpointProbe, clock: Clock, found: Findings, signal: AbortSignal): Promise<void> {
  const isReached = await checkConnection(probe, clock, found, signal);
  if (!isReached) return;
  const told = await attempt(() => probe.ask('/v2/', signal), 'registry', probe, found);
  if (told === undefined) return;
  checkClock(told, found);
  if (!checkRegistry(told, probe, found)) return;
  const isHub = isHubName(probe.upstream) || isHubName(probe.url.hostname);
  if (!probe.hasCredential && !isHub) return;
  const signedIn = await attempt(() => probe.signIn(askedFor(isHub), signal), 'credentials', probe, found);
  if (signedIn === undefined) return;
  if (probe.hasCredential) sayCredential(signedIn, probe, found);
  if (isHub) checkRateLimit(signedIn, probe.hasCredential, found);
}

async function checkConnection(
  probe: EndpointProbe,
  clock: Clock,
  found: Findings,
  signal: AbortSignal,
): Promise<boolean> {
  const startMs = clock.monotonic();
  const connected = await attempt(() => probe.connect(signal), 'connection', probe, found);
  if (connected === undefined) return false;
  const { address, certificate } = connected;
  const ms = Math.round(clock.monotonic() - startMs);
  const { proxy } = probe;
  const { origin } = probe.url;
  found.ok('connection', `${origin} ${proxy === undefined ? `at ${address}` : `through the proxy ${proxy}`}, ${ms} ms`);
  if (certificate === undefined) return true;
  const { issuer, validFromMs, validToMs, isVerified } = certificate;
  const until = new Date(validToMs).toISOString().slice(0, 10);
  if (!isVerified)
    found.warn(
      'tls',
      `${origin}: its certificate is not checked`,
      `name its authority in upstreams.${probe.upstream}.tls.ca instead`,
    );
  else if (endsSoon(validFromMs, validToMs, clock.now()))
    found.warn('tls', `${origin}: its certificate, by ${issuer}, ends on ${until}`, 'tell whoever runs it');
  else found.ok('tls', `${origin}: a certificate by ${issuer}, good until ${until}`);
  return true;
}

/** What `/v2/` of a registry says (distribution-spec, "Determining Support"), and what other servers say there. */
function checkRegistry({ status, headers, place }: Told, { upstream }: EndpointProbe, found: Findings): boolean {
  const type = String(headers['content-type'] ?? '');
  const isChallenge = status === 401 && headers['www-authenticate'] !== undefined;
  const isHtml = /^(?:text\/html|application\/xhtml)/i.test(type);
  if (status === 429) {
    found.warn(
      'registry',
      `${place} answered 429: too many requests`,
      'wait, or configure a credential with a higher limit',
    );
  } else if (status >= 500) {
    found.fail('registry', `${place} answered ${status}`, 'it is in trouble itself: try again later');
    return false;
  } else if (isHtml) {
    found.fail(
      'registry',
      `${place} answered ${status} with a page for people`,
      `this is no registry, or a login page on the way to it: check upstreams.${upstream}.url, and the network`,
    );
    return false;
  } else if (isChallenge) found.ok('registry', `${place} is a registry that wants tokens or a password`);
  else if (status === 200) found.ok('registry', `${place} is a registry`);
  else if (status === 401 || status === 403) {
    found.warn(
      'registry',
      `${place} answered ${status} without saying how to log in`,
      'pulls may still work; else ask whoever runs it',
    );
  } else {
    found.fail(
      'registry',
      `${place} answered ${status}: not what a registry says`,
      adviceOn(upstream, status, new URL(place)),
    );
    return false;
  }
  return true;
}

/** What may be wrong with the URL of an upstream that is no registry there. `place`: where its `/v2/` was looked for. */
function adviceOn(upstream: string, status: number, place: URL): string {
  const check = `check upstreams.${upstream}.url: weir asks for /v2/ below it`;
  // So do servers of TLS answer those who speak plain http to them.
  if (status === 400 && place.protocol === 'http:') return `${check}; where TLS is spoken, write https://`;
  if (status !== 404 || place.pathname === '/v2/') return check;
  return `${check}; a project or namespace goes into upstreams.${upstream}.prefix, not into the URL`;
}

/** A time to the second, and made while the request was under way; through a cache, `Age` seconds earlier. */
export function skewMs({
  headers,
  sentAtMs,
  receivedAtMs,
}: Pick<Told, 'headers' | 'sentAtMs' | 'receivedAtMs'>): number | undefined {
  const [date] = [headers['date']].flat();
  const atMs = Date.parse(String(date)) + (Number(headers['age'] ?? 0) || 0) * 1000;
  if (Number.isNaN(atMs)) return undefined;
  if (atMs > receivedAtMs) return atMs - receivedAtMs;
  return atMs + 1000 < sentAtMs ? atMs + 1000 - sentAtMs : 0;
}

function checkClock(told: Told, found: Findings): void {
  const skew = skewMs(told);
  if (skew === undefined) return;
  const seconds = Math.round(Math.abs(skew) / 1000);
  if (Math.abs(skew) <= mostSkewMs) return;
  found.warn(
    'clock',
    `this machine's clock is ${seconds} s ${skew > 0 ? 'behind' : 'ahead of'} that of ${told.place}`,
    'set the clock (timedatectl set-ntp true): certificates and tokens depend on it',
  );
}

/** A public repository that Docker keeps for this question; elsewhere one that need not exist. */
function askedFor(isHub: boolean): Repository {
  const repository = parseRepository(isHub ? 'ratelimitpreview/test' : 'weir/doctor');
  if (repository === undefined) throw new TypeError('no repository');
  return repository;
}

function sayCredential(
  { isCredentialUsed, isDenied, status, place }: SignedIn,
  probe: EndpointProbe,
  found: Findings,
): void {
  const { origin } = probe.url;
  if (!isCredentialUsed) {
    found.ok('credentials', `${origin} did not ask for the configured credential`);
  } else if (isDenied) {
    found.ok('credentials', `${origin} takes the configured credential (and answers ${status} for ${place})`);
  } else found.ok('credentials', `${origin} takes the configured credential`);
}

/** docs.docker.com/docker-hub/usage/pulls: `100;w=21600` is 100 in six hours. HEAD costs none. */
function checkRateLimit({ status, headers }: SignedIn, hasCredential: boolean, found: Findings): void {
  const [limit, remaining] = [headers['ratelimit-limit'], headers['ratelimit-remaining']].map((text) => {
    const digits = /^[0-9]{1,9}/.exec(String([text].flat()[0] ?? ''))?.[0];
    return digits === undefined ? undefined : Number(digits);
  });
  const advice = hasCredential
    ? 'wait, or use an account with a higher limit; what is cached is served all the same'
    : 'configure an account (upstreams.docker.io.auth): anonymous pulls are counted by address';
  if (status === 429) return found.fail('rateLimit', 'Docker Hub refuses more pulls for now (429)', advice);
  if (remaining === undefined) return found.ok('rateLimit', 'Docker Hub names no limit for this account or address');
  const left = `${remaining}${limit === undefined ? '' : ` of ${limit}`} pulls are left`;
  if (remaining === 0) return found.fail('rateLimit', left, advice);
  if (remaining < (limit ?? 100) / 10) return found.warn('rateLimit', left, advice);
  return found.ok('rateLimit', left);
}

/** Undefined when it failed, and then that has been said. */
async function attempt<T>(
  work: () => Promise<T>,
  check: string,
  probe: EndpointProbe,
  found: Findings,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    const { check: where, advice } = adviceFor(error, probe);
    found.fail(where ?? check, wordsOf(error), advice);
    return undefined;
  }
}
