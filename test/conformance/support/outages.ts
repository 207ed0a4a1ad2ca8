/** What an upstream can do instead of answering a question about signatures, and what weir makes of it. */
import type { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import {
  answer,
  type Behaviour,
  body,
  cut,
  encode,
  framing,
  headers,
  html,
  json,
  raw,
  redirect,
  stall,
} from '../../support/upstream/behaviour.ts';
import type { Match } from '../../support/upstream/request.ts';

export interface Outage {
  readonly name: string;
  /** From now on, for such requests. */
  readonly begin: (upstream: ScriptedUpstream, match: Match) => void | Promise<void>;
  /** Status of what weir does not have. */
  readonly status: number;
  /** The upstream's word on the repository: what weir has is not served either. Default false. */
  readonly isRefusal?: boolean;
  /** For a list that was never given it means that there is no such API (signatures-no-api.test.ts). Default false. */
  readonly meansNoApi?: boolean;
  /** Status once the upstream is known to be down; default `status`. */
  readonly downStatus?: number;
  /** Nothing comes, so somebody has to turn the clock. Default false. */
  readonly isSilent?: boolean;
}

const script = (name: string, status: number, ...behaviours: readonly Behaviour[]): Outage => ({
  name,
  status,
  begin: (upstream, match) => void upstream.on(match, ...behaviours),
});
const odd = (name: string, ...behaviours: readonly Behaviour[]): Outage => ({
  ...script(name, 502, ...behaviours),
  meansNoApi: true,
});
const silent = (name: string, how: Behaviour): Outage => ({ ...script(name, 504, how), isSilent: true });
const refusal = (name: string, how: Behaviour): Outage => ({ ...script(name, 403, how), isRefusal: true });

/** Without the headers of a right answer, as something in between would say it. */
const bare = headers({ 'Docker-Content-Digest': undefined, ETag: undefined });
const stopped: Outage['begin'] = (upstream) => upstream.stop();
const code = (name: string): { readonly body: string } => ({ body: JSON.stringify({ errors: [{ code: name }] }) });

/** Longest that anything of it is remembered, a limit for an hour included. */
export const longestMemoryMs = 600_000;

/** For whatever is asked. None of them is a 404, and none of them lists anything. */
export const outages: readonly Outage[] = [
  { name: 'refuses connections', status: 502, downStatus: 503, begin: stopped },
  script('resets the connection before an answer', 502, cut('before', 'rst')),
  script('closes the connection before an answer', 502, cut('before', 'fin')),
  script('closes the connection in the head', 502, cut('headers', 'fin')),
  script('says something that is not HTTP', 502, raw('220 mail.example ESMTP\r\n\r\n')),
  silent('accepts the question and says nothing', stall('before')),
  silent('stops in the head', stall('headers')),
  silent('stops in the body', stall(10)),
  odd('answers 400', answer(400)),
  odd('answers 400 MANIFEST_INVALID', answer(400, code('MANIFEST_INVALID'))),
  script('answers 408', 504, answer(408)),
  script('answers 418', 502, answer(418)),
  script('answers 429', 429, answer(429, { headers: { 'Retry-After': '3600' } })),
  script('answers 500', 502, answer(500)),
  script('answers 502 with HTML', 502, html(502)),
  script('answers 503', 502, answer(503)),
  script('answers 504', 502, answer(504)),
  script('answers 204', 502, answer(204)),
  script('answers 206', 502, answer(206)),
  refusal('answers 401', answer(401)),
  refusal('answers 403', answer(403)),
  odd('answers 200 with HTML', html(200)),
  script('answers 200 with nothing', 502, bare, body('')),
  script('answers 200 with an error document', 502, bare, json(JSON.parse(code('DENIED').body))),
  script('answers 200 with an array', 502, bare, json([])),
  script('answers 200 with broken JSON', 502, bare, body('{"schemaVersion":2,"manifests":[')),
  script('answers with a body that nobody can read', 502, encode('br')),
  script('cuts the body short', 502, cut(20, 'fin')),
  script('resets the connection in the body', 502, cut(20, 'rst')),
  script('cuts a chunked body before its end', 502, framing('chunked'), cut('body-end', 'fin')),
  script(
    'redirects for ever',
    502,
    redirect(({ target }) => target),
  ),
  {
    ...script('redirects to a place that refuses connections', 502, redirect('http://127.0.0.1:1/')),
    downStatus: 503,
  },
];
