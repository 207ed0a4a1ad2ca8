/** A small OCI client: pulls an image over plain HTTP, keeps nothing, and believes nothing that it has not hashed. */
import { type Digest, digestAlgorithm, digestOf, hasher, parseDigest } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';

export interface Pull {
  readonly milliseconds: number;
  /** Bytes of the manifest, the config and the layers. */
  readonly bytes: number;
  /** The Cache-Status header of each answer; empty where there was none. */
  readonly outcomes: readonly string[];
}

interface Answer {
  readonly bytes: number;
  readonly outcome: string;
}

/** Pulls `repository:tag` as container runtimes do: the manifest, then its blobs, three at a time. */
export async function pull(base: string, repository: string, tag: string, signal?: AbortSignal): Promise<Pull> {
  const started = performance.now();
  const of = (path: string): string => `${base}/v2/${repository}/${path}`;
  const manifest = await pullManifest(of(`manifests/${tag}`), signal);
  const waiting = manifest.blobs.map((digest) => ({ digest, url: of(`blobs/${digest}`) }));
  const answers: Answer[] = [manifest];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      answers.push(await pullBlob(next.url, next.digest, signal));
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return {
    milliseconds: performance.now() - started,
    bytes: answers.reduce((sum, { bytes }) => sum + bytes, 0),
    outcomes: answers.map(({ outcome }) => outcome),
  };
}

async function pullManifest(
  url: string,
  signal: AbortSignal | undefined,
): Promise<Answer & { readonly blobs: readonly Digest[] }> {
  const { response, outcome } = await get(url, signal);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.headers.get('docker-content-digest') !== digestOf(bytes)) {
    throw new Error(`GET ${url}: the manifest is not the one that Docker-Content-Digest names`);
  }
  const document = JSON.parse(new TextDecoder().decode(bytes)) as {
    readonly config: { readonly digest: string };
    readonly layers: readonly { readonly digest: string }[];
  };
  const blobs = [document.config, ...document.layers].map(({ digest }) => {
    const parsed = parseDigest(digest);
    if (parsed === undefined) throw new Error(`GET ${url}: the manifest names a blob "${digest}"`);
    return parsed;
  });
  return { bytes: bytes.length, outcome, blobs };
}

async function pullBlob(url: string, digest: Digest, signal: AbortSignal | undefined): Promise<Answer> {
  const { response, outcome } = await get(url, signal);
  const hash = hasher(digestAlgorithm(digest));
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  const found = hash.digest();
  if (found !== digest) throw new Error(`GET ${url}: the bytes hash to ${found}`);
  return { bytes, outcome };
}

async function get(
  url: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly response: Response; readonly outcome: string }> {
  const headers = { Accept: `${mediaTypes.ociManifest}, */*` };
  const response = await fetch(url, signal === undefined ? { headers } : { headers, signal });
  if (response.ok) return { response, outcome: response.headers.get('cache-status') ?? '' };
  throw new Error(`GET ${url}: ${response.status} ${(await response.text()).trim()}`);
}
