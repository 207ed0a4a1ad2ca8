/** Content that several replays share. */
import { type BuiltManifest, buildImage, buildIndex } from '../../support/image-builder.ts';

const arm: BuiltManifest = buildImage({ seed: 'arm', layers: [900], platform: { os: 'linux', architecture: 'arm64' } });

/** An image for two platforms; the amd64 one has a config and two layers. */
export const app: BuiltManifest = buildIndex([buildImage({ seed: 'amd', layers: [200_000, 3_000] }), arm]);

/** The amd64 image of `app`. */
export const appForAmd: BuiltManifest = buildImage({ seed: 'amd', layers: [200_000, 3_000] });

/** What a cold pull of `app` costs when its tag is resolved with HEAD: the index, one manifest, a config, two layers. */
export const costOfApp = { 'HEAD manifest': 1, 'GET manifest': 2, 'GET blob': 3 } as const;
/** The same, when the tag is fetched without a HEAD before. */
export const costOfAppByGet = { 'GET manifest': 2, 'GET blob': 3 } as const;
