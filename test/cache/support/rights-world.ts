/** What decides who may read what, changing at random: content, rights, what registries do wrong, weir's credential, its lives. */
import { rename, writeFile } from 'node:fs/promises';
import { CredentialHelpers } from '../../../src/upstream/credentials/helper.ts';
import { CredentialStore } from '../../../src/upstream/credentials/stored.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { type BuiltManifest, buildImage } from '../../support/image-builder.ts';
import { CacheLife } from './cache-life.ts';
import { ModelRegistry } from './model-registry.ts';

export const names = ['u', 'v'] as const;
export const paths = ['r/a', 's/a'] as const;
export type Name = (typeof names)[number];
export type Path = (typeof paths)[number];

export interface Thing {
  readonly kind: 'manifest' | 'blob';
  readonly digest: Digest;
}

/** Every other one shares its config and one layer. */
const images = [0, 1, 2, 3].map((seed) => buildImage({ seed: seed % 2, layers: [100 + seed, 50] }));
export const everything: readonly Thing[] = images.flatMap(thingsOf);

/** Weir's credential at both registries. `wrong`: its password is an old one. */
interface Login {
  readonly user: 'alice' | 'bob' | undefined;
  readonly isWrong: boolean;
}

export class World implements AsyncDisposable {
  readonly life: CacheLife;
  readonly pick: (below: number) => number;
  readonly registries: Readonly<Record<Name, ModelRegistry>>;
  access: 'public' | 'all' = 'all';
  isOffline = false;
  login: Login = { user: undefined, isWrong: false };
  /** So a tag that somebody else was told of may be fresh. */
  hasJustLoggedIn = false;
  #passwords = 0;
  #credentials: CredentialStore | undefined;
  #watch: Disposable | undefined;

  private constructor(life: CacheLife, pick: (below: number) => number) {
    this.life = life;
    this.pick = pick;
    const registry = (name: Name, port: number, scheme: 'basic' | 'bearer'): ModelRegistry =>
      new ModelRegistry({ name, url: new URL(`http://127.0.0.1:${port}`), scheme, everything: images });
    this.registries = { u: registry('u', 5001, 'basic'), v: registry('v', 5002, 'bearer') };
  }

  static async start(pick: (below: number) => number): Promise<World> {
    const world = new World(await CacheLife.start({ isClockShared: true, isLeased: true }), pick);
    for (const name of names) for (const path of paths) world.#push(name, path);
    await world.#logIn();
    await world.#restart(false);
    return world;
  }

  get isDown(): boolean {
    return this.registries.u.isDown;
  }

  get isOut(): boolean {
    return this.isDown || this.isOffline;
  }

  /** Who weir is to the registries. */
  get user(): string | undefined {
    return this.access === 'all' && !this.login.isWrong ? this.login.user : undefined;
  }

  /** What the registry has there that this user may read. */
  readable(name: Name, path: Path, user: string | undefined): readonly Thing[] {
    const registry = this.registries[name];
    const there = [...(registry.shelves.get(path)?.images ?? [])];
    return there.filter((image) => registry.mayRead(user, path, image)).flatMap(thingsOf);
  }

  /** One thing changes while weir runs. */
  async change(): Promise<void> {
    const { pick } = this;
    const [name, path] = [this.#name(), this.#path()];
    const registry = this.registries[name];
    const manifestStore = registry.shelves.get(path);
    const what = pick(8);
    this.hasJustLoggedIn = what === 4;
    if (what === 4) {
      await this.#logIn();
      // What a wrong password was answered is past, what is leased is not; and weir looks every second.
      await this.life.clock.advance(6000);
      await this.#credentials?.look();
      return;
    }
    if (what < 2) this.#push(name, path);
    else if (what < 4 && manifestStore !== undefined)
      manifestStore.openness = (['open', 'pub', 'closed'] as const)[pick(3)] ?? 'open';
    else if (what === 5)
      registry.login = ([undefined, undefined, undefined, 'html', 'plain', 'endless'] as const)[pick(6)];
    else if (what === 6) this.registries.v.isLenient = pick(3) === 0;
    else for (const each of names) this.registries[each].isDown = !this.isDown && pick(2) === 0;
    if (what === 7) this.registries.v.isDown = this.isDown;
    await this.life.clock.advance(120_000);
  }

  /** Another life: other settings, and a credential that may have gone meanwhile. Resolves whether the catalog was lost. */
  async relive(): Promise<boolean> {
    const { pick } = this;
    this.access = pick(2) === 0 ? 'public' : 'all';
    this.isOffline = pick(6) === 0;
    this.hasJustLoggedIn = false;
    if (pick(2) === 0) await this.#logIn();
    const isLost = pick(6) === 0;
    await this.life.clock.advance(120_000);
    await this.#restart(isLost);
    return isLost;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    await this.life[Symbol.asyncDispose]();
  }

  describe(): string {
    const { access, isOffline, isDown, login, registries } = this;
    const sick = names.map((name) => {
      const { isLenient, login: page } = registries[name];
      return { isLenient, page };
    });
    return JSON.stringify({ access, isOffline, isDown, login, sick });
  }

  #name(): Name {
    return names[this.pick(names.length)] ?? 'u';
  }

  #path(): Path {
    return paths[this.pick(paths.length)] ?? 'r/a';
  }

  #push(name: Name, path: Path): void {
    const image = images[this.pick(images.length)];
    if (image !== undefined) this.registries[name].push(path, image, this.pick(2) === 0 ? 'pub' : '1');
  }

  /** The file that weir looks into is written anew: another user, another password, an old one, or nobody. */
  async #logIn(): Promise<void> {
    const user = ([undefined, 'alice', 'alice', 'bob'] as const)[this.pick(4)];
    this.login = { user, isWrong: user !== undefined && this.pick(6) === 0 };
    const password = `secret-${++this.#passwords}`;
    for (const name of names) {
      for (const each of ['alice', 'bob']) this.registries[name].users.set(each, password);
    }
    const auth = Buffer.from(`${user ?? ''}:${this.login.isWrong ? 'old' : password}`).toString('base64');
    const hosts = names.map((name) => [this.registries[name].options.url.host, { auth }]);
    const path = this.life.file('config.json');
    await writeFile(`${path}.new`, JSON.stringify({ auths: user === undefined ? {} : Object.fromEntries(hosts) }));
    await rename(`${path}.new`, path);
  }

  async #restart(isCatalogLost: boolean): Promise<void> {
    const { access, isOffline, life } = this;
    const { clock } = life;
    const helpers = new CredentialHelpers({ clock });
    const credentials = new CredentialStore({ files: [life.file('config.json')], helpers });
    await credentials.load();
    this.#credentials = credentials;
    const rules = { access, tagTtlMs: 60_000, staleIfErrorMs: 86_400_000_000, isImmutableTag: () => false } as const;
    const made = names.map((name) => {
      const upstream = this.registries[name].upstream(access, { credentials, isOffline, clock });
      return [name, { ...rules, upstream }] as const;
    });
    this.#watch?.[Symbol.dispose]();
    await life.restart({ upstreams: new Map(made), offline: isOffline, isCatalogLost });
    this.#watch = credentials.watch(clock, () => life.bumpAll());
  }
}

function thingsOf({ digest, blobs }: BuiltManifest): readonly Thing[] {
  return [{ kind: 'manifest', digest }, ...blobs.map((blob): Thing => ({ kind: 'blob', digest: blob.digest }))];
}
