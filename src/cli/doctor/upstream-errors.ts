/** What a failure on the way to an upstream means for whoever set it up. */
import type { UpstreamError } from '../../upstream/contract/errors.ts';
import { plainMessage } from '../../upstream/contract/failure.ts';
import type { EndpointProbe } from '../../upstream/try-endpoint.ts';

export interface Advice {
  /** The step that failed, where that is known better than by what was being done. */
  readonly check: 'dns' | 'connection' | 'tls' | 'credentials' | undefined;
  readonly advice: string;
}

/** Its message, and those of its causes that say more. */
export function wordsOf(error: UpstreamError): string {
  const { cause } = error;
  const more = cause instanceof Error ? plainMessage(cause.message) : '';
  return error.message.includes(more) ? error.message : `${error.message}: ${more}`;
}

export function adviceFor(error: UpstreamError, { upstream, url, hasCredential, proxy }: EndpointProbe): Advice {
  const settings = `upstreams.${upstream}`;
  const codes = codesIn(error);
  const has = (...wanted: readonly string[]): boolean => wanted.some((code) => codes.has(code));
  const advise = (check: Advice['check'], advice: string): Advice => ({ check, advice });
  const isWay = error.kind === 'unreachable' || error.kind === 'tls' || error.kind === 'timeout';
  if (isWay && proxy !== undefined && (error.message.includes(proxy) || error.message.includes('the proxy')))
    return advise('connection', `it is the proxy that fails: check ${settings}.proxy, or HTTP_PROXY and HTTPS_PROXY`);
  if (isWay && !error.message.includes(url.host))
    return advise(
      'credentials',
      'that is where tokens come from, and it is not reached: check DNS, firewalls, proxies',
    );
  if (has('ENOTFOUND'))
    return advise('dns', `the name ${url.hostname} does not exist here: check its spelling, and DNS`);
  if (has('EAI_AGAIN')) return advise('dns', 'no name server answers: check /etc/resolv.conf, and the network');
  switch (error.kind) {
    case 'tls':
      return advise('tls', tlsAdvice(has, settings, url));
    case 'unreachable':
      if (has('ECONNREFUSED'))
        return advise('connection', `nothing listens there: check ${settings}.url, and firewalls`);
      return advise('connection', `check ${settings}.url, and whether the way there needs a proxy (HTTPS_PROXY)`);
    case 'timeout':
      return advise('connection', 'something on the way drops packets: check firewalls, or set a proxy (HTTPS_PROXY)');
    case 'credentialRefused':
      return advise('credentials', `check user and password (${settings}.auth, or the docker login that weir reads)`);
    case 'denied':
      return advise('credentials', hasCredential ? `check what the account may read` : 'configure a credential');
    case 'redirectRefused':
      return advise(undefined, `if that place is right, allow it: ${settings}.allowHosts or ${settings}.realms`);
    case 'rateLimited':
      return advise(undefined, 'wait, or configure a credential with a higher limit');
    case 'badResponse':
      return advise(undefined, `whatever listens there is no registry: check ${settings}.url, its scheme and its port`);
    case 'serverError':
    case 'notFound':
    case 'unsupported':
    case 'tooLarge':
    case 'rangeRefused':
    case 'cut':
    case 'breakerOpen':
    case 'offline':
    case 'exhausted':
    case 'preempted':
    case 'aborted':
      return advise(undefined, 'try again later; if it stays so, ask whoever runs it');
  }
}

function tlsAdvice(has: (...codes: readonly string[]) => boolean, settings: string, url: URL): string {
  if (has('CERT_HAS_EXPIRED')) return 'its certificate has expired: tell whoever runs it, and check this clock';
  if (has('CERT_NOT_YET_VALID')) return "its certificate is not valid yet: check this machine's clock";
  if (has('ERR_TLS_CERT_ALTNAME_INVALID'))
    return `its certificate is for another name: use that name in ${settings}.url, or have one made for ${url.hostname}`;
  if (has('EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'))
    return `it does not speak TLS there: write http:// in ${settings}.url, or another port`;
  const unknown = [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  ];
  if (has(...unknown))
    return `nobody here knows who signed its certificate: name the authority's file in ${settings}.tls.ca`;
  return `check ${settings}.tls`;
}

/** Of the error and everything that caused it. */
function codesIn(error: unknown, depth = 4): ReadonlySet<string> {
  const codes = new Set<string>();
  if (!(error instanceof Error) || depth === 0) return codes;
  if ('code' in error && typeof error.code === 'string') codes.add(error.code);
  const causes: readonly unknown[] = error instanceof AggregateError ? [...error.errors, error.cause] : [error.cause];
  for (const cause of causes) for (const code of codesIn(cause, depth - 1)) codes.add(code);
  return codes;
}
