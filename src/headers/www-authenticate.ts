/**
 * WWW-Authenticate (RFC 9110 §11.6.1) as registries really write it: several challenges in one line, unquoted values,
 * commas inside quotes, and now and then no grammar at all. Never throws; what cannot be understood is skipped.
 */

export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case; of a repeated one the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

export type ChosenChallenge =
  | {
      readonly kind: 'bearer';
      readonly realm: string;
      /** Undefined: leave it out of the token request (Artifact Registry and nvcr.io name none). */
      readonly service: string | undefined;
      readonly scope: string | undefined;
      readonly error: string | undefined;
    }
  | { readonly kind: 'basic' };

/** Node lets headers grow to 16 KiB in all; a challenge needs a few hundred bytes. */
const maxLineLength = 16_384;
const maxChallenges = 32;

/** Every challenge of all lines of the header, in order. Time is linear in the length of the lines. */
export function parseChallenges(lines: readonly string[]): readonly Challenge[] {
  const found: Challenge[] = [];
  for (const line of lines) {
    parseLine(line.slice(0, maxLineLength), found);
    if (found.length >= maxChallenges) break;
  }
  return found.slice(0, maxChallenges);
}

/** The best challenge that weir can answer: Bearer before Basic, whatever their order. */
export function chooseChallenge(challenges: readonly Challenge[]): ChosenChallenge | undefined {
  for (const { scheme, parameters } of challenges) {
    const realm = parameters.get('realm') ?? '';
    if (scheme !== 'bearer' || realm === '') continue;
    const text = (name: string): string | undefined => parameters.get(name)?.trim() || undefined;
    return { kind: 'bearer', realm, service: text('service'), scope: text('scope'), error: text('error') };
  }
  return challenges.some(({ scheme }) => scheme === 'basic') ? { kind: 'basic' } : undefined;
}

const separators = /[\s,]*/y;
const whitespace = /\s*/y;
const word = /[^\s,="]+/y;
/** token68 counts only where a list item ends with it; else the text is a parameter or the next scheme. */
const token68 = /[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;
/** Ends at the closing quote, or at the end of the line where there is none. */
const quoted = /"((?:[^"\\]|\\[^])*)(?:"|\\?$)/y;
const unquoted = /[^\s,"]*/y;
/** nvcr.io once sent its scope bare, and the actions in it are separated by commas. */
const unquotedScope = /[^\s,"]*(?:,(?:[a-z_]+|\*)(?=[\s,]|$))*/y;

function parseLine(line: string, found: Challenge[]): void {
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position;
    const match = pattern.exec(line);
    if (match === null) return undefined;
    position = pattern.lastIndex;
    return match;
  };
  let parameters: Map<string, string> | undefined;
  for (;;) {
    take(separators);
    if (position >= line.length) return;
    const name = take(word)?.[0].toLowerCase();
    if (name === undefined) {
      // A stray quote or equals sign: step over what belongs to it.
      if (take(quoted) === undefined) position++;
      continue;
    }
    const afterName = position;
    take(whitespace);
    if (line[position] === '=') {
      position++;
      take(whitespace);
      const value =
        take(quoted)?.[1]?.replaceAll(/\\([^])/g, '$1') ?? take(name === 'scope' ? unquotedScope : unquoted)?.[0];
      if (parameters !== undefined && !parameters.has(name)) parameters.set(name, value ?? '');
      continue;
    }
    position = afterName;
    if (found.length >= maxChallenges) return;
    parameters = new Map();
    found.push({ scheme: name, parameters });
    take(token68);
  }
}
