/**
 * A random walk over everything that decides what may be shown, beside an oracle that knows no cache: it remembers, slowly
 * and simply, what each registry would have given to whom at any time, and what clients were given.
 */
import type { Digest } from '../../../src/oci/digest.ts';
import { type BuiltManifest, buildImage } from '../../support/image-builder.ts';
import { type Got, type Name, RightsRig, type Settings } from './rights-rig.ts';

const names = ['u', 'v'] as const;
const paths = ['r/a', 's/a'] as const;
/** They share their config, and two of them a layer. */
const images = [0, 1, 2].map((seed) => buildImage({ seed: seed % 2, layers: [100 + seed, 50] }));

interface Thing {
  readonly kind: 'manifest' | 'blob';
  readonly digest: Digest;
}

/** Numbers from a seed: the walk can be walked again. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

class Oracle {
  /** What a stranger, or whoever weir was, could read through a repository while weir could ask. */
  readonly #strangers = new Set<string>();
  readonly #members = new Set<string>();
  /** What clients were given by GET, on a stranger's word or on a credential's. */
  readonly #given = new Map<string, 'anonymous' | 'credential'>();

  /** What is there from now on, until the next call. */
  see(world: World): void {
    if (world.settings.offline === true) return;
    for (const name of names) {
      for (const path of world.isDown ? [] : paths) {
        for (const thing of world.things(name, path)) {
          if (!world.isPrivate(name, path)) this.#strangers.add(keyOf(name, path, thing));
          if (world.mayRead(name, path)) this.#members.add(keyOf(name, path, thing));
        }
      }
    }
  }

  /** Undefined when all is well. */
  judge(world: World, name: Name, path: string, thing: Thing, got: Got, isGet: boolean): string | undefined {
    const key = keyOf(name, path, thing);
    const isPublic = world.settings.access === 'public';
    const isOut = world.isDown || world.settings.offline === true;
    if (got.status === '200') {
      if (isPublic ? !this.#strangers.has(key) : !this.#members.has(key) && !this.#strangers.has(key)) {
        return `private content was given: ${key}`;
      }
      if (isGet) this.#give(key, isPublic || world.settings.user === undefined ? 'anonymous' : 'credential');
      return undefined;
    }
    const isThere = world.things(name, path).some(({ kind, digest }) => kind === thing.kind && digest === thing.digest);
    if (!isOut && isThere && world.mayRead(name, path)) return `refused (${got.status}), and it may be read: ${key}`;
    const given = this.#given.get(key);
    const isPromised = given === 'anonymous' || (given === 'credential' && !isPublic);
    return isOut && isPromised ? `refused (${got.status}) in an outage, and it was given before: ${key}` : undefined;
  }

  /** A catalog was lost: what no tag leads to needs a question again. */
  forget(): void {
    this.#given.clear();
  }

  #give(key: string, word: 'anonymous' | 'credential'): void {
    if (this.#given.get(key) !== 'anonymous') this.#given.set(key, word);
  }
}

class World {
  readonly rig: RightsRig;
  settings: Settings = {};
  isDown = false;
  readonly content = new Map<string, Set<BuiltManifest>>();

  constructor(rig: RightsRig) {
    this.rig = rig;
  }

  things(name: Name, path: string): readonly Thing[] {
    return [...(this.content.get(`${name} ${path}`) ?? [])].flatMap(({ digest, blobs }) => [
      { kind: 'manifest', digest },
      ...blobs.map((blob): Thing => ({ kind: 'blob', digest: blob.digest })),
    ]);
  }

  isPrivate(name: Name, path: string): boolean {
    return this.rig.private[name].includes(path);
  }

  /** Weir itself, as it is configured. */
  mayRead(name: Name, path: string): boolean {
    const isMember = this.settings.access === 'all' && this.settings.user !== undefined;
    return isMember || !this.isPrivate(name, path);
  }

  push(name: Name, path: string, image: BuiltManifest): void {
    const registry = this.rig[name].content;
    for (const { bytes } of image.blobs) registry.addBlob(path, bytes);
    registry.addManifest(path, image.bytes, image.mediaType);
    registry.tag(path, '1', image.digest);
    const key = `${name} ${path}`;
    this.content.set(key, (this.content.get(key) ?? new Set()).add(image));
  }

  async change(pick: (below: number) => number): Promise<boolean> {
    const { rig } = this;
    const [name, path] = [names[pick(2)] ?? 'u', paths[pick(2)] ?? 'r/a'];
    if (pick(3) === 0) this.push(name, path, images[pick(3)] ?? buildImage());
    if (pick(2) === 0) {
      const hidden = rig.private[name];
      if (this.isPrivate(name, path)) hidden.splice(hidden.indexOf(path), 1);
      else hidden.push(path);
    }
    const user = [undefined, 'alice', 'bob'][pick(3)];
    this.settings = {
      access: pick(2) === 0 ? 'public' : 'all',
      ...(user !== undefined && { user }),
      offline: pick(5) === 0,
    };
    const isDown = pick(4) === 0;
    if (isDown !== this.isDown) for (const each of names) await (isDown ? rig[each].stop() : rig[each].listen());
    this.isDown = isDown;
    const isLost = pick(6) === 0;
    await rig.clock.advance(120_000);
    await rig.restart(this.settings, isLost);
    return isLost;
  }
}

function keyOf(name: Name, path: string, { kind, digest }: Thing): string {
  return `${name} ${path} ${kind} ${digest}`;
}

/** Walks, and resolves with what went wrong first: with the seed and the step, so that it can be seen again. */
export async function walk(seed: number, steps: number): Promise<string | undefined> {
  await using rig = await RightsRig.start();
  const pick = random(seed);
  const world = new World(rig);
  const oracle = new Oracle();
  for (const name of names) for (const path of paths) world.push(name, path, images[pick(3)] ?? buildImage());
  const everything = images.flatMap(({ digest, blobs }): Thing[] => [
    { kind: 'manifest', digest },
    ...blobs.map((blob): Thing => ({ kind: 'blob', digest: blob.digest })),
  ]);
  for (let step = 0; step < steps; step++) {
    if (step % 25 === 0) {
      if (await world.change(pick)) oracle.forget();
      oracle.see(world);
    }
    const [name, path] = [names[pick(2)] ?? 'u', paths[pick(2)] ?? 'r/a'];
    const thing = everything[pick(everything.length)] ?? { kind: 'blob', digest: images[0]?.digest ?? ('' as Digest) };
    const isGet = pick(4) > 0;
    const isTag = thing.kind === 'manifest' && pick(3) === 0;
    const method = isGet ? 'get' : 'head';
    const got =
      thing.kind === 'blob'
        ? await rig.blob(name, path, thing.digest, method)
        : await rig.manifest(name, path, isTag ? '1' : thing.digest, method);
    // What a tag leads to may be an older answer, and that nothing was answered says nothing about a digest.
    if (isTag && got.digest === undefined) continue;
    const asked = isTag && got.digest !== undefined ? { kind: thing.kind, digest: got.digest } : thing;
    const wrong = oracle.judge(world, name, path, asked, got, isGet);
    if (wrong !== undefined) {
      return `seed ${seed}, step ${step}, ${JSON.stringify({ ...world.settings, isDown: world.isDown })}: ${wrong}`;
    }
  }
  return undefined;
}
