/** Manifests in every form that registries hold: what weir knows of them must make no difference. */
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { digestOf } from '../../../src/oci/digest.ts';

export interface Form {
  readonly name: string;
  /** As it was pushed. */
  readonly contentType: string;
  readonly bytes: Buffer;
}

const custom = 'application/vnd.example.thing.v1+json';
const blob = (mediaType: string, mark = mediaType): object => ({ mediaType, digest: digestOf(mark), size: 7 });
const empty = { mediaType: mediaTypes.ociEmpty, digest: digestOf('{}'), size: 2, data: 'e30=' };
const layers = [blob(mediaTypes.ociLayerGzip)];
const config = blob(mediaTypes.ociConfig);
const platform = { os: 'linux', architecture: 'amd64' };

function form(name: string, contentType: string, document: unknown, indent?: number): Form {
  return { name, contentType, bytes: Buffer.from(JSON.stringify(document, undefined, indent)) };
}

const manifest = (more: object): object => ({
  schemaVersion: 2,
  mediaType: mediaTypes.ociManifest,
  config,
  layers,
  ...more,
});
const child = (mediaType: string): object => ({ ...blob(mediaType), platform });

export const forms: readonly Form[] = [
  form('an image manifest', mediaTypes.ociManifest, manifest({})),
  form('an image manifest without a media type', mediaTypes.ociManifest, manifest({ mediaType: undefined })),
  form('an image manifest without layers', mediaTypes.ociManifest, manifest({ layers: [] })),
  form('an image manifest with a subject', mediaTypes.ociManifest, manifest({ subject: blob(mediaTypes.ociManifest) })),
  form(
    'an image manifest with fields of others',
    mediaTypes.ociManifest,
    manifest({ 'org.example': { a: [1, null] } }),
  ),
  form(
    'an image manifest with layers that no registry holds',
    mediaTypes.ociManifest,
    manifest({
      layers: [
        { ...blob('application/vnd.oci.image.layer.nondistributable.v1.tar'), urls: ['https://example.test/x'] },
      ],
    }),
  ),
  form('an index', mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [child(mediaTypes.ociManifest)],
  }),
  form('an index without a media type', mediaTypes.ociIndex, {
    schemaVersion: 2,
    manifests: [child(mediaTypes.ociManifest)],
  }),
  form('an index of indexes', mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [blob(mediaTypes.ociIndex, 'a'), blob(mediaTypes.ociIndex, 'b')],
  }),
  form('an empty index', mediaTypes.ociIndex, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }),
  form('an index with an artifactType and a subject', mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    artifactType: custom,
    subject: blob(mediaTypes.ociManifest),
    manifests: [],
  }),
  form(
    'an artifact with the empty config',
    mediaTypes.ociManifest,
    manifest({ artifactType: custom, config: empty, layers: [empty] }),
  ),
  form(
    'an artifact with a config of its own and no artifactType',
    mediaTypes.ociManifest,
    manifest({ config: blob(custom) }),
  ),
  form(
    'an artifact with an artifactType that nobody knows',
    mediaTypes.ociManifest,
    manifest({ artifactType: 'x', config: empty }),
  ),
  form('an artifact manifest, withdrawn', mediaTypes.ociArtifact, {
    mediaType: mediaTypes.ociArtifact,
    artifactType: custom,
    blobs: layers,
  }),
  form(
    'a Docker manifest of schema 2',
    mediaTypes.dockerManifest,
    {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: blob(mediaTypes.dockerConfig),
      layers: [blob(mediaTypes.dockerLayer)],
    },
    3,
  ),
  form(
    'a Docker manifest list',
    mediaTypes.dockerList,
    { schemaVersion: 2, mediaType: mediaTypes.dockerList, manifests: [child(mediaTypes.dockerManifest)] },
    3,
  ),
  form('a Docker list of OCI manifests', mediaTypes.dockerList, {
    schemaVersion: 2,
    mediaType: mediaTypes.dockerList,
    manifests: [child(mediaTypes.ociManifest)],
  }),
  form(
    'a Docker manifest of schema 1, signed',
    mediaTypes.dockerSigned,
    { schemaVersion: 1, name: 'a/b', tag: 'c', fsLayers: [], signatures: [{ signature: 'x' }] },
    3,
  ),
  form('a Docker manifest of schema 1', mediaTypes.dockerUnsigned, {
    schemaVersion: 1,
    name: 'a/b',
    tag: 'c',
    fsLayers: [],
  }),
  form('a document of a custom type', custom, { hello: 'world' }),
  form('a document of a custom type that says so itself', custom, { mediaType: custom, hello: 'world' }),
  form('a document of a custom type with config and layers', custom, { mediaType: custom, config, layers }),
  form('an image manifest that was pushed under a custom type', custom, manifest({})),
  form('an image manifest that calls itself something else', mediaTypes.ociManifest, manifest({ mediaType: custom })),
  {
    name: 'JSON with odd spaces, escapes and a newline at its end',
    contentType: mediaTypes.ociManifest,
    bytes: Buffer.from(`{ "schemaVersion" :2,\n\t"layers":[ ], "a":"\\u00e9\u00e9\\/" , "config":{}}\r\n`),
  },
  {
    name: 'JSON with a field twice',
    contentType: mediaTypes.ociManifest,
    bytes: Buffer.from('{"schemaVersion":2,"config":{},"config":{"a":1},"layers":[]}'),
  },
];
