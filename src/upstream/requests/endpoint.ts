/** One base URL of an upstream with what belongs to it, and one request there through authentication and redirects. */
import type { Clock } from '../../lib/clock.ts';
import type { Repository } from '../../oci/reference.ts';
import type { AuthExchange, Authorizer } from '../auth/authorizer.ts';
import { statusFailure } from './refusal.ts';
import type { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { firstOf, linesOf } from '../../headers/content-length.ts';
import type { ExchangeWorker } from '../contract/worker-protocol.ts';
import type { PatienceFlag } from '../contract/patience.ts';
import type { OriginHealth } from '../health/origin.ts';
import { isSameOrigin, withoutSecrets } from '../network/origin.ts';
import { type Hop, isRedirect, maxRedirects, nextHop, type Place, placeOf } from './redirect.ts';
import type { IncomingResponse, Sender } from '../exchange/sender.ts';
import { readText } from '../exchange/small-body.ts';
import { trimmedEnd } from '../../lib/trim.ts';

export interface Endpoint {
  /** Names it in logs and for `avoidEndpoints`: origin and path. */
  readonly name: string;
  /** `/v2/` lies under this. */
  readonly url: URL;
  /** Connects on behalf of this endpoint. */
  readonly sender: Sender;
  readonly authorizer: Authorizer;
  /** The same without any credential. */
  readonly anonymous: Authorizer;
  readonly health: OriginHealth;
  /** `certificatePlace` where a client certificate is shown with every request. */
  readonly certificate: string | undefined;
  /** Learnt: it refuses HEAD of blobs that it has. */
  refusesBlobHead: boolean;
  /** An endpoint of the same upstream lies there. */
  readonly isSibling: (url: URL) => boolean;
  /** Plain http may follow https at this place. */
  readonly mayDowngrade: (url: URL) => boolean;
}

export interface Ask {
  readonly method: 'GET' | 'HEAD';
  /** Path and query below the endpoint: `/v2/…`. */
  readonly path: string;
  readonly repository: Repository;
  readonly accept?: string;
  readonly range?: string;
  readonly worker?: ExchangeWorker | undefined;
  readonly patience?: PatienceFlag | undefined;
}

export interface Answer {
  readonly response: IncomingResponse;
  /** Where it came from after all redirects. */
  readonly url: URL;
  /** `elsewhere`: storage or a CDN speaks, which knows bytes but not repositories. */
  readonly from: 'registry' | 'elsewhere';
  /** What was shown on the way to it (`Authorization.shown`, or `certificatePlace`); undefined: anybody gets this. */
  readonly shown: string | undefined;
}

/** What one attempt at one endpoint may take, and what is known about it when it fails. */
export interface Attempt {
  readonly upstream: string;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Aborts when the caller gives up or the attempt has had its time. */
  readonly signal: AbortSignal;
  /** Monotonic time at which it has had its time. */
  readonly endsAtMs: number;
  /** Set as soon as the registry has done its part and the rest is up to somebody else. */
  hasLeftRegistry: boolean;
  /** Who is being asked, or was asked last. */
  stage: 'registry' | 'tokens';
  /** Sees each answer of a registry, but what strangers are told: their limits are not ours. */
  readonly onRegistryAnswer: (response: IncomingResponse) => void;
}

const userAgent = 'weir';

/** The state of a walk along redirects. */
interface Walk {
  readonly place: Place;
  /** Undefined where nothing must be shown. */
  readonly exchange: AuthExchange | undefined;
  /** Who we were up to here, and at the last request. */
  shown: string | undefined;
}

/**
 * Resolves with the first answer that is neither a redirect nor a refusal that authentication can do something about.
 * Its body is the caller's to read, discard or abort. 401 and 403 of a registry reject (`denied`, `credentialRefused`);
 * those of a CDN, after one new start, are returned.
 */
export async function askEndpoint(endpoint: Endpoint, ask: Ask, attempt: Attempt): Promise<Answer> {
  const start = (): Walk => {
    const place = placeOf(new URL(`${endpoint.name}${ask.path}`));
    return { place, exchange: endpoint.authorizer.begin(endpoint.url, ask.repository), shown: endpoint.certificate };
  };
  let walk = start();
  const below = trimmedEnd(endpoint.url.pathname, '/');
  const rules = { mayDowngrade: endpoint.mayDowngrade, asked: { repository: ask.repository, below } };
  let hops = 0;
  let mayRestart = ask.method === 'GET';
  const been = new Set<string>();
  for (;;) {
    const response = await send(endpoint, ask, walk, attempt);
    const { status } = response;
    if (isRedirect(status)) {
      await response.discard();
      been.add(textOf(walk.place));
      const hop = nextHop(walk.place, firstOf(response.headers.location), rules);
      walk = follow(hop, walk, ask, endpoint, attempt);
      if (++hops > maxRedirects) throw refusal(attempt, `more than ${maxRedirects} redirects`);
      if (been.has(textOf(walk.place))) throw refusal(attempt, `a loop at ${withoutSecrets(walk.place.url)}`);
      continue;
    }
    if (mayRestart && hops > 0 && mayHaveExpired(status, walk)) {
      await response.discard();
      mayRestart = false;
      walk = start();
      been.clear();
      continue;
    }
    if (walk.exchange === undefined || (status !== 401 && status !== 403)) return answerOf(response, walk);
    await learn(response, walk.exchange, walk.place.url, attempt);
  }
}

/** What signed URLs say that have expired on the way, or lead to a machine that has no more of it: the registry signs another. */
const unsigned: ReadonlySet<number> = new Set([400, 403, 404, 503]);

/** Storage may lie below `/v2/` of another registry; a signature is what tells it from a place that answers for itself. */
function mayHaveExpired(status: number, { place, exchange }: Walk): boolean {
  if (exchange === undefined && (status === 401 || status === 403)) return true;
  return unsigned.has(status) && place.target.includes('?');
}

function textOf({ url, target }: Place): string {
  return `${url.origin}${target}`;
}

function answerOf(response: IncomingResponse, { place, exchange, shown }: Walk): Answer {
  return { response, url: place.url, from: exchange === undefined ? 'elsewhere' : 'registry', shown };
}

function follow(hop: Hop, walk: Walk, ask: Ask, endpoint: Endpoint, attempt: Attempt): Walk {
  switch (hop.kind) {
    case 'refused':
      throw refusal(attempt, hop.reason);
    case 'same':
      return { ...walk, place: hop.place };
    case 'elsewhere':
      attempt.hasLeftRegistry = true;
      return { ...walk, place: hop.place, exchange: undefined };
    case 'registry': {
      attempt.hasLeftRegistry = !isSameOrigin(hop.place.url, endpoint.url);
      // Our credentials for another registry would let whoever redirects read there as us, and hand on what they read.
      const isOurs = endpoint.isSibling(hop.registry) && hop.repository === ask.repository;
      const authorizer = isOurs ? endpoint.authorizer : endpoint.anonymous;
      return { ...walk, place: hop.place, exchange: authorizer.begin(hop.registry, hop.repository) };
    }
  }
}

async function send(endpoint: Endpoint, ask: Ask, walk: Walk, attempt: Attempt): Promise<IncomingResponse> {
  attempt.stage = 'tokens';
  const authorization = await walk.exchange?.authorization(attempt.signal);
  attempt.stage = 'registry';
  // Never forgotten on the way: what a refused credential has taught a registry may be why the next request passes.
  walk.shown = authorization?.shown ?? walk.shown;
  const leftMs = attempt.endsAtMs - attempt.clock.monotonic();
  if (leftMs <= 0) throw failure('timeout', attempt.upstream, `${endpoint.name}: no time left`);
  // Built anew for every hop, so that nothing can follow us by accident.
  const headers = {
    'accept-encoding': 'identity',
    'user-agent': userAgent,
    ...(ask.accept !== undefined && { accept: ask.accept }),
    ...(ask.range !== undefined && { range: ask.range }),
    ...(authorization?.header !== undefined && { authorization: authorization.header }),
  };
  const sending = endpoint.sender.send(
    {
      method: ask.method,
      ...walk.place,
      headers,
      credentialSet: authorization?.credentialSet ?? 'anonymous',
      headTimeoutMs: leftMs,
      isStorage: walk.exchange === undefined,
      worker: ask.worker,
      patience: ask.patience,
    },
    attempt.signal,
  );
  const response = await sending.catch((error: unknown) => {
    walk.exchange?.heard(undefined);
    throw error;
  });
  if (response.status !== 401 && response.status !== 403) hear(response, walk, attempt);
  if (walk.exchange !== undefined) attempt.onRegistryAnswer(response);
  return response;
}

/** Throws why it was asked without a token when that is what it is about. */
function hear(response: IncomingResponse, { exchange }: Walk, attempt: Attempt): void {
  try {
    exchange?.heard(response.status);
  } catch (error) {
    response.abort();
    attempt.stage = 'tokens';
    throw error;
  }
}

/** Returns when the request is worth repeating. */
async function learn(response: IncomingResponse, exchange: AuthExchange, url: URL, attempt: Attempt): Promise<void> {
  const { status, headers } = response;
  const body = await readText(response);
  const wwwAuthenticate = linesOf(headers['www-authenticate']);
  attempt.stage = 'tokens';
  const verdict = await exchange.challenged({ status, wwwAuthenticate, body }, attempt.signal);
  attempt.stage = 'registry';
  if (verdict !== 'retry') throw statusFailure(verdict, attempt.upstream, url, { status, body });
}

function refusal({ upstream }: Attempt, reason: string): UpstreamError {
  return failure('redirectRefused', upstream, `redirect not followed: ${reason}`);
}
