/** Docker's credential helpers (docker/docker-credential-helpers): their protocol, and what they said lately. */
import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { Coalesce } from '../../lib/single-flight.ts';
import { isJsonObject, parseJson, textField } from '../../lib/json/json.ts';
import { type Credential, CredentialError, credentialIdentity } from './credentials.ts';
import { type HelperOutput, runHelper } from './helper-process.ts';
import { Secret } from '../../lib/secret.ts';

export interface CredentialHelpersOptions {
  readonly clock?: Pick<Clock, 'setTimer' | 'monotonic'>;
  /** For one run, in milliseconds. Default 10 s. */
  readonly timeoutMs?: number;
  /** What helpers see, PATH included. Default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly credential: Credential | undefined;
  readonly atMs: number;
}

/** Cloud helpers give tokens of an hour or more. */
const keepMs = 15 * 60_000;
/** Somebody may log in while weir runs. */
const keepNothingMs = 60_000;
/** A refusal does not make the helper run again sooner than this: many requests may be refused at once. */
const leastAgeMs = 10_000;
const helperName = /^[a-zA-Z0-9._-]+$/;
const notFound = 'credentials not found in native keychain';

/** Hub's key in every store, since Docker's first registry. */
export function helperServer(registryName: string): string {
  return registryName === 'docker.io' ? 'https://index.docker.io/v1/' : registryName;
}

export class CredentialHelpers {
  readonly #options: CredentialHelpersOptions;
  readonly #clock: Pick<Clock, 'setTimer' | 'monotonic'>;
  readonly #answers = new LRUCache<string, Answer>({ max: 1000 });
  readonly #runs = new Coalesce<Answer>();

  constructor(options: CredentialHelpersOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * What `docker-credential-<name>` has for `server`; undefined when it has nothing. Rejects with CredentialError. One
   * process runs for however many ask; `signal` ends the waiting, not the process.
   */
  async get(name: string, server: string, signal: AbortSignal): Promise<Credential | undefined> {
    const key = keyOf(name, server);
    const found = this.#answers.get(key);
    if (found !== undefined && this.#ageMs(found) < (found.credential === undefined ? keepNothingMs : keepMs)) {
      return found.credential;
    }
    const answer = await this.#runs.run(key, (work) => this.#run(name, server, work), signal);
    return answer.credential;
  }

  refused(name: string, server: string): void {
    const key = keyOf(name, server);
    const found = this.#answers.peek(key);
    if (found !== undefined && this.#ageMs(found) >= leastAgeMs) this.#answers.delete(key);
  }

  /** Ends the helpers that run. Idempotent. */
  close(): void {
    this.#runs.close();
  }

  async #run(name: string, server: string, signal: AbortSignal): Promise<Answer> {
    if (!helperName.test(name)) {
      throw new CredentialError('malformed', `${JSON.stringify(name)} is not the name of a credential helper`);
    }
    const program = `docker-credential-${name}`;
    const { timeoutMs = 10_000, environment } = this.#options;
    const run = { program, input: server, clock: this.#clock, timeoutMs };
    const output = await runHelper(environment === undefined ? run : { ...run, environment }, signal);
    const answer = { credential: parseOutput(output, program, name, server), atMs: this.#clock.monotonic() };
    this.#answers.set(keyOf(name, server), answer);
    return answer;
  }

  #ageMs({ atMs }: Answer): number {
    return this.#clock.monotonic() - atMs;
  }
}

function keyOf(name: string, server: string): string {
  return JSON.stringify([name, server]);
}

function parseOutput(
  { exitCode, stdout }: HelperOutput,
  program: string,
  name: string,
  server: string,
): Credential | undefined {
  if (exitCode !== 0) {
    if (stdout.includes(notFound)) return undefined;
    throw new CredentialError(
      'helperFailed',
      `${program} failed (exit ${exitCode ?? 'by signal'})${complaint(stdout)}`,
    );
  }
  const answer = parseJson(stdout, { depth: 8 });
  const username = isJsonObject(answer) ? textField(answer, 'Username') : undefined;
  const secret = isJsonObject(answer) ? textField(answer, 'Secret') : undefined;
  if (username === undefined || secret === undefined) {
    throw new CredentialError('helperFailed', `${program} did not print a credential`);
  }
  if (username === '' && secret === '') return undefined;
  const origin = `helper ${name} ${server}`;
  const identity = credentialIdentity('helper', username, secret);
  // The protocol's mark for an identity token.
  if (username === '<token>') {
    return { kind: 'identityToken', name: origin, identity, username: undefined, token: new Secret(secret) };
  }
  return { kind: 'basic', name: origin, identity, username, password: new Secret(secret) };
}

/** By the protocol a failing helper says why on standard output. What looks like an answer is not repeated. */
function complaint(stdout: string): string {
  const line = stdout.trim().split('\n', 1)[0] ?? '';
  if (line === '' || /[{}]/.test(stdout)) return '';
  return `: ${line.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200)}`;
}
