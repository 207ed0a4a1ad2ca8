/** The well-known public registries, and the names of Docker Hub. Names alone: how to reach them is configuration. */

/** Upstreams that nobody has to configure; their keys are their names in image references. */
export const builtinUpstreams: readonly string[] = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'registry.k8s.io',
  'gcr.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
  'registry.gitlab.com',
  'nvcr.io',
  'lscr.io',
];

export const hubKey = 'docker.io';
/** Other names of Docker Hub. Its images are named docker.io, which is a web site; the registry is registry-1. */
export const hubAliases: readonly string[] = ['index.docker.io', 'registry-1.docker.io'];

/** Whether a host, in lower case and without a port, is Docker Hub. */
export function isHubName(host: string): boolean {
  return host === hubKey || hubAliases.includes(host);
}

/** Whether a name, in lower case, is a well-known registry's, or another one of Docker Hub. */
export function isWellKnown(name: string): boolean {
  return builtinUpstreams.includes(name) || hubAliases.includes(name);
}
