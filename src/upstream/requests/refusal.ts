/** What a registry's final status means. Anything that was not asked for is a bad response, however friendly. */
import { retryWait } from '../../headers/retry-after.ts';
import type { Answer } from './endpoint.ts';
import { UpstreamError, type UpstreamErrorKind } from '../contract/errors.ts';
import { firstOf } from '../../headers/content-length.ts';
import { withoutSecrets } from '../network/origin.ts';
import { errorCodeIn, readText } from '../exchange/small-body.ts';

interface Told {
  readonly status: number;
  readonly body?: string;
  readonly retryAfterMs?: number | undefined;
}

export function statusFailure(kind: UpstreamErrorKind, upstream: string, url: URL, told: Told): UpstreamError {
  const { status, body = '', retryAfterMs } = told;
  const code = errorCodeIn(body);
  const said = code === undefined ? '' : ` ${code}`;
  return new UpstreamError(kind, `${withoutSecrets(url)} answered ${status}${said}`, {
    upstream,
    status,
    ...(code !== undefined && { code }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** Reads what the registry says about a status that is not the one hoped for, and makes the error of it. */
export async function refusedAnswer(answer: Answer, upstream: string, nowMs: number): Promise<UpstreamError> {
  const { response, url, from } = answer;
  const { status, headers } = response;
  const body = await readText(response);
  const asked = firstOf(headers['retry-after']);
  const retryAfterMs = asked === undefined ? undefined : retryWait(asked, nowMs);
  const kind = kindOf(status, from, errorCodeIn(body));
  return statusFailure(kind, upstream, url, { status, body, retryAfterMs });
}

/**
 * Codes with which registries refuse a name or reference that they could never have. Not MANIFEST_INVALID: there is a
 * manifest, and something is wrong with it.
 */
const impossible: ReadonlySet<string> = new Set(['NAME_INVALID', 'TAG_INVALID', 'DIGEST_INVALID']);

function kindOf(status: number, from: Answer['from'], code: string | undefined): UpstreamErrorKind {
  if (status === 404 || status === 410) return 'notFound';
  if (status === 400 && code !== undefined && impossible.has(code)) return 'notFound';
  // A CDN's refusal is about a signature, not about a repository.
  if (status === 401 || status === 403 || status === 451) return from === 'registry' ? 'denied' : 'badResponse';
  if (status === 408) return 'timeout';
  if (status === 429) return 'rateLimited';
  return status >= 500 && status <= 599 ? 'serverError' : 'badResponse';
}
