/** Every program the suite drives, with its pinned version and where it comes from. */

/** A program from Debian 12. `versions`: another one under the same name (a vendor's package) is not what is tested. */
export interface DebianProgram {
  readonly path: string;
  readonly package: string;
  readonly versions: RegExp;
}

export const debian = {
  skopeo: { path: '/usr/bin/skopeo', package: 'skopeo', versions: /^1\./ },
  podman: { path: '/usr/bin/podman', package: 'podman', versions: /^4\./ },
  buildah: { path: '/usr/bin/buildah', package: 'buildah', versions: /^1\./ },
  umoci: { path: '/usr/bin/umoci', package: 'umoci', versions: /^0\./ },
  containerd1: { path: '/usr/bin/containerd', package: 'containerd', versions: /^1\.6\./ },
  ctr1: { path: '/usr/bin/ctr', package: 'containerd', versions: /^1\.6\./ },
  dockerd: { path: '/usr/sbin/dockerd', package: 'docker.io', versions: /^20\.10\./ },
  docker: { path: '/usr/bin/docker', package: 'docker.io', versions: /^20\.10\./ },
  distribution2: { path: '/usr/bin/docker-registry', package: 'docker-registry', versions: /^2\.8\.2/ },
  runc: { path: '/usr/sbin/runc', package: 'runc', versions: /^1\./ },
  busybox: { path: '/bin/busybox', package: 'busybox-static', versions: /^1:1\./ },
  gpg: { path: '/usr/bin/gpg', package: 'gpg', versions: /^2\.2\./ },
  gpgAgent: { path: '/usr/bin/gpg-agent', package: 'gpg-agent', versions: /^2\.2\./ },
  debootstrap: { path: '/usr/sbin/debootstrap', package: 'debootstrap', versions: /^1\./ },
} as const satisfies Record<string, DebianProgram>;

/**
 * Programs of tier 1 are built before anything is played. Those of tier 2 take minutes each: their builds share a
 * budget of time, and what does not fit is named, left out once, and must fit the next time.
 */
export type Tier = 1 | 2;

interface Published {
  readonly version: string;
  readonly tier: Tier;
}

/** Headers for cgo. `modules`: one file of a Go module each, and the name by which it is included. */
export interface Headers {
  readonly debian: readonly string[];
  readonly modules: readonly { readonly module: string; readonly file: string; readonly as: string }[];
}

/**
 * A main package of a published Go module, built without cgo unless it says so. `isReplaced`: its go.mod has
 * directives with which `go install` refuses it, so that it is built as a dependency of an empty module.
 */
export interface GoProgram extends Published {
  readonly from: 'go';
  readonly package: string;
  readonly hasCgo?: true;
  readonly headers?: Headers;
  readonly isReplaced?: true;
}

/** A package of PyPI, in a directory of its own: what is run is Python with that directory on its path. */
export interface PythonPackage extends Published {
  readonly from: 'pypi';
  readonly package: string;
}

/** A package of the npm registry with the program that it brings. */
export interface NpmProgram extends Published {
  readonly from: 'npm';
  readonly package: string;
  readonly binary: string;
}

/** A crate with one binary of the same name. */
export interface CargoProgram extends Published {
  readonly from: 'cargo';
  readonly package: string;
}

export type BuiltProgram = GoProgram | PythonPackage | NpmProgram | CargoProgram;

export const built = {
  crane: { from: 'go', package: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.22.1', tier: 1 },
  distribution3: {
    from: 'go',
    package: 'github.com/distribution/distribution/v3/cmd/registry',
    version: 'v3.1.2',
    tier: 1,
  },
  helm: { from: 'go', package: 'helm.sh/helm/v3/cmd/helm', version: 'v3.22.0', tier: 1 },
  containerd2: {
    from: 'go',
    package: 'github.com/containerd/containerd/v2/cmd/containerd',
    version: 'v2.4.2',
    tier: 1,
  },
  ctr2: { from: 'go', package: 'github.com/containerd/containerd/v2/cmd/ctr', version: 'v2.4.2', tier: 1 },
  shim2: {
    from: 'go',
    package: 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
    version: 'v2.4.2',
    tier: 1,
  },
  regctl: { from: 'go', package: 'github.com/regclient/regclient/cmd/regctl', version: 'v0.11.7', tier: 1 },
  conformance: {
    from: 'go',
    package: 'github.com/opencontainers/distribution-spec/conformance',
    version: 'v0.0.0-20260831232431-97274622c111',
    tier: 1,
  },
  orasPython: { from: 'pypi', package: 'oras', version: '0.2.43', tier: 1 },
  rasterio: { from: 'pypi', package: 'rasterio', version: '1.4.4', tier: 2 },
  devcontainer: { from: 'npm', package: '@devcontainers/cli', binary: 'devcontainer', version: '0.89.0', tier: 1 },
  helm4: { from: 'go', package: 'helm.sh/helm/v4/cmd/helm', version: 'v4.3.1', tier: 2 },
  conftest: { from: 'go', package: 'github.com/open-policy-agent/conftest', version: 'v0.71.1', tier: 2 },
  cosign2: { from: 'go', package: 'github.com/sigstore/cosign/v2/cmd/cosign', version: 'v2.6.5', tier: 2 },
  cosign3: { from: 'go', package: 'github.com/sigstore/cosign/v3/cmd/cosign', version: 'v3.1.3', tier: 2 },
  crictl: { from: 'go', package: 'sigs.k8s.io/cri-tools/cmd/crictl', version: 'v1.37.0', tier: 2 },
  gator: { from: 'go', package: 'github.com/open-policy-agent/gatekeeper/v3/cmd/gator', version: 'v3.23.1', tier: 2 },
  ollama: {
    from: 'go',
    package: 'github.com/ollama/ollama',
    version: 'v0.17.4',
    hasCgo: true,
    headers: {
      debian: ['nlohmann-json3-dev', 'libstb-dev'],
      modules: [{ module: 'github.com/gen2brain/malgo@v0.11.24', file: 'miniaudio.h', as: 'miniaudio/miniaudio.h' }],
    },
    tier: 2,
  },
  mdltool: {
    from: 'go',
    package: 'github.com/docker/model-runner/cmd/mdltool',
    version: 'v1.0.10',
    isReplaced: true,
    tier: 2,
  },
  dmr: {
    from: 'go',
    package: 'github.com/docker/model-runner/cmd/dmr',
    version: 'v1.2.9',
    isReplaced: true,
    tier: 2,
  },
  buildkitd: {
    from: 'go',
    package: 'github.com/moby/buildkit/cmd/buildkitd',
    version: 'v0.34.2',
    isReplaced: true,
    tier: 2,
  },
  buildctl: {
    from: 'go',
    package: 'github.com/moby/buildkit/cmd/buildctl',
    version: 'v0.34.2',
    isReplaced: true,
    tier: 2,
  },
  compose: { from: 'go', package: 'github.com/docker/compose/v5/cmd', version: 'v5.5.0', isReplaced: true, tier: 2 },
  wkg: { from: 'cargo', package: 'wkg', version: '0.16.1', tier: 2 },
} as const satisfies Record<string, BuiltProgram>;

/** A main package of a Go module of ours, a directory beside this file. */
export interface OwnProgram {
  readonly module: string;
  readonly source: string;
  readonly binary: string;
  /** The library that it is there for, as its go.mod names it: whose version is the program's. */
  readonly library?: string;
}

export const own = {
  orasClient: { module: 'oras-client', source: '.', binary: 'oras-client', library: 'oras.land/oras-go/v2' },
  referrersRegistry: { module: 'oras-client', source: './referrers-registry', binary: 'referrers-registry' },
  stargzClient: {
    module: 'stargz-client',
    source: '.',
    binary: 'stargz-client',
    library: 'github.com/containerd/stargz-snapshotter',
  },
} as const satisfies Record<string, OwnProgram>;

/** Used when on the PATH, and named when they are not. */
export const optional = { oras: 'oras', zot: 'zot' } as const;

type BuiltName = keyof typeof built;
type OfTier<T extends Tier> = { [Name in BuiltName]: (typeof built)[Name]['tier'] extends T ? Name : never }[BuiltName];

export type NeededName = keyof typeof debian | OfTier<1> | keyof typeof own;
/** Programs that a run may have to do without. */
export type LateName = OfTier<2> | keyof typeof optional;
export type ProgramName = NeededName | LateName;
