/**
 * A random walk over everything that decides what may be shown, beside an oracle that knows no cache: it remembers, slowly
 * and simply, what each registry would have given to whom at any time, and what clients were given.
 */
import type { Got } from './cache-life.ts';
import { everything, type Name, names, type Path, paths, type Thing, World } from './rights-world.ts';

/** Requests between two changes, and between two lives. */
const quiet = 8;
const life = 60;

/** Numbers from a seed: the walk can be walked again. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Place {
  readonly name: Name;
  readonly path: Path;
  readonly thing: Thing;
}

interface Asked extends Place {
  readonly isGet: boolean;
}

class Oracle {
  /** What a stranger, or whoever weir was, could read through a repository while weir could ask. */
  readonly #strangers = new Set<string>();
  readonly #members = new Map<string, Set<string | undefined>>();
  /** Digests that strangers could have from anywhere, and those that an upstream could have sent to weir. */
  readonly #public = new Set<string>();
  readonly #sent = new Set<string>();
  /** Upstreams that have ever said yes to whatever was asked. */
  readonly #lenient = new Set<Name>();
  /** What clients were given by GET, on a stranger's word or on a credential's. */
  readonly #given = new Map<string, { readonly word: 'anonymous' | 'credential'; readonly place: Place }>();

  /** What was given, and perhaps on a credential's word only. */
  get brought(): readonly Place[] {
    return [...this.#given.values()].flatMap(({ word, place }) => (word === 'credential' ? [place] : []));
  }

  /** What is there from now on, until the next call. */
  see(world: World): void {
    if (world.isOut) return;
    for (const name of names) {
      const { isLenient } = world.registries[name];
      if (isLenient) this.#lenient.add(name);
      for (const path of paths) {
        // Its yes to a stranger's HEAD of a tag is a word about what the tag leads to.
        for (const thing of world.readable(name, path, isLenient ? 'alice' : undefined)) this.#see(name, path, thing);
        for (const thing of world.readable(name, path, world.user)) this.#see(name, path, thing, world.user);
      }
    }
  }

  /** Undefined when all is well. */
  judge(world: World, asked: Asked, got: Got): string | undefined {
    const { name, path, thing, isGet } = asked;
    const key = keyOf(name, path, thing);
    const isPublic = world.access === 'public';
    if (got.status === '200') {
      // Where strangers are led to a page, HEAD passes on what they are told of that page: no bytes, and no link.
      const isPassedOn = !isGet && world.registries[name].login !== undefined;
      if (!isPassedOn && !this.#mayBeGiven(world, asked, got))
        return `private content was given, by ${isGet ? 'GET' : 'HEAD'}: ${key}`;
      if (isGet)
        this.#give({ name, path, thing }, isPublic || (got.how !== 'hit' && isStrangers(world, { name, path, thing })));
      return undefined;
    }
    const given = this.#given.get(key)?.word;
    if (given === 'anonymous') return `refused (${got.status}), and strangers were given it before: ${key}`;
    if (world.isOut) {
      return given === undefined || isPublic
        ? undefined
        : `refused (${got.status}) in an outage, and it was given before: ${key}`;
    }
    // A page instead of a challenge hides from weir that a credential would help; a wrong one may be an outage of ours.
    const isHampered = world.registries[name].login !== undefined;
    const user = isHampered ? undefined : world.user;
    const isOurs = world.access === 'all' && world.login.isWrong;
    const isRefused = !isOurs && has(world.readable(name, path, user), thing);
    return isRefused ? `refused (${got.status}), and it may be read: ${key}` : undefined;
  }

  /** A tag that is due leads where the registry says now, or nowhere. Between two changes more than its time passes. */
  judgeTag(world: World, { name, path, tag }: { name: Name; path: Path; tag: string }, got: Got): string | undefined {
    const registry = world.registries[name];
    const isOurs = world.access === 'all' && world.login.isWrong;
    const isOdd = registry.login !== undefined || registry.isLenient || isOurs || got.hasWaited === true;
    if (world.isOut || isOdd || got.digest === undefined) return undefined;
    const thing = { kind: 'manifest', digest: got.digest } as const;
    const isNow = registry.shelves.get(path)?.tags.get(tag) === got.digest;
    if (isNow && (world.hasJustLoggedIn || has(world.readable(name, path, world.user), thing))) return undefined;
    return `private or past content was given under a tag: ${name} ${path}:${tag} ${got.digest}`;
  }

  /** A catalog was lost: what no tag leads to needs a question again. */
  forget(): void {
    this.#given.clear();
  }

  /** `user` absent: anybody. */
  #see(name: Name, path: Path, thing: Thing, user?: string): void {
    const key = keyOf(name, path, thing);
    const users = this.#members.get(key) ?? new Set();
    this.#members.set(key, users.add(user));
    this.#sent.add(`${name} ${thing.digest}`);
    if (user !== undefined) return;
    this.#strangers.add(key);
    this.#public.add(thing.digest);
  }

  #mayBeGiven(world: World, { name, path, thing, isGet }: Asked, got: Got): boolean {
    const key = keyOf(name, path, thing);
    const { digest } = thing;
    if (this.#strangers.has(key)) return true;
    const members = this.#members.get(key);
    if (world.access === 'all' && members !== undefined) {
      // A member's word counts in outages, of which pages are one, whoever weir is now; else it takes the same member, or
      // a question.
      const isPage = world.registries[name].login !== undefined;
      const isUnasked = world.isOut || isPage || world.login.isWrong || got.hasWaited === true;
      if (isUnasked || members.has(world.login.user)) return true;
      // Named by a manifest that was linked here.
      if (thing.kind === 'blob' && this.#public.has(digest)) return true;
    }
    if (!this.#lenient.has(name)) return false;
    // Its own word about bytes that are its own or anybody's is enough; to HEAD it is just repeated.
    return !isGet || this.#public.has(digest) || this.#sent.has(`${name} ${digest}`);
  }

  #give(place: Place, isStrangers: boolean): void {
    const key = keyOf(place.name, place.path, place.thing);
    if (this.#given.get(key)?.word === 'anonymous') return;
    this.#given.set(key, { word: isStrangers ? 'anonymous' : 'credential', place });
  }
}

/** Whoever weir is told so is nobody. A hit may rest on the word of a credential that has gone since. */
function isStrangers(world: World, { name, path, thing }: Place): boolean {
  return world.user === undefined && !world.isOut && has(world.readable(name, path, undefined), thing);
}

function has(things: readonly Thing[], { kind, digest }: Thing): boolean {
  return things.some((each) => each.kind === kind && each.digest === digest);
}

function keyOf(name: Name, path: Path, { kind, digest }: Thing): string {
  return `${name} ${path} ${kind} ${digest}`;
}

/**
 * Walks, and resolves with what went wrong first: with the seed and the step, so that it can be seen again. `isLeaksOnly`:
 * goes on where something was refused that must be served.
 */
export async function walk(seed: number, steps: number, isLeaksOnly = false): Promise<string | undefined> {
  const pick = random(seed);
  await using world = await World.start(pick);
  const oracle = new Oracle();
  for (let step = 0; step < steps; step++) {
    if (step % life === life - 1 && (await world.relive())) oracle.forget();
    if (step % quiet === quiet - 1) await world.change();
    if (step % quiet === quiet - 1 || step % life === life - 1 || step === 0) oracle.see(world);
    const wrong = await ask(world, oracle);
    if (wrong?.startsWith('private') === false && isLeaksOnly) continue;
    if (wrong !== undefined) return `seed ${seed}, step ${step}, ${world.describe()}: ${wrong}`;
  }
  return undefined;
}

async function ask(world: World, oracle: Oracle): Promise<string | undefined> {
  const { pick, life: cache } = world;
  const isGet = pick(4) > 0;
  const method = isGet ? 'get' : 'head';
  const { name, path, thing } = pickThing(world, oracle);
  const tag = pick(3) === 0 ? (['1', 'pub'] as const)[pick(2)] : undefined;
  if (tag === undefined && thing.kind === 'blob')
    return oracle.judge(world, { name, path, thing, isGet }, await cache.blob(name, path, thing.digest, method));
  const got = await cache.manifest(name, path, tag ?? thing.digest, method);
  if (tag === undefined) return oracle.judge(world, { name, path, thing, isGet }, got);
  // What a tag leads to may be an older answer, and that nothing was answered says nothing about a digest.
  if (got.digest === undefined) return undefined;
  const wrong = oracle.judgeTag(world, { name, path, tag }, got);
  if (wrong !== undefined) return wrong;
  return oracle.judge(world, { name, path, thing: { kind: 'manifest', digest: got.digest }, isGet }, got);
}

/** Mostly where something could go wrong: what a credential brought before, and what strangers may not read now. */
function pickThing(world: World, oracle: Oracle): Place {
  const { pick } = world;
  const [name, path] = [names[pick(names.length)] ?? 'u', paths[pick(paths.length)] ?? 'r/a'];
  const among = (things: readonly Thing[]): Thing | undefined => things[pick(things.length)];
  const open = world.readable(name, path, undefined);
  const hidden = world.readable(name, path, 'alice').filter((thing) => !has(open, thing));
  const what = pick(4);
  const brought = what === 0 ? oracle.brought : [];
  const again = brought[pick(brought.length)];
  if (again !== undefined) return again;
  const thing = (what === 1 ? undefined : among(hidden)) ?? among(everything);
  if (thing === undefined) throw new Error('nothing is anywhere');
  return { name, path, thing };
}
