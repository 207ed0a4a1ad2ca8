/**
 * Kaniko's executor has flags only (README, "--registry-map"); Docker Hub is called index.docker.io there, as in
 * go-containerregistry.
 */
import { type ClientSetup, loopbackNotes, nameNotes, registriesOrRefuse, segmentOf } from '../contract/client-setup.ts';

export const kaniko: ClientSetup = {
  name: 'kaniko',
  aliases: [],
  summary: 'nothing to write: flags for the executor',
  generate: (request) => {
    const { authority, isTls, ca } = request.listener;
    const map = registriesOrRefuse(request).map(
      (upstream) =>
        `${upstream.key === 'docker.io' ? 'index.docker.io' : upstream.key}=${authority}/${segmentOf(upstream)}`,
    );
    return {
      files: [],
      commands: [
        `--registry-map="${map.join(';')}"`,
        ...(isTls ? [] : [`--insecure-registry=${authority}`]),
        ...(ca === undefined ? [] : [`--registry-certificate=${authority}=${ca.path}`]),
      ],
      notes: [
        'Add these to the arguments of the executor.',
        'To allow no way around weir, add --skip-default-registry-fallback.',
        ...loopbackNotes(request.listener, "Kaniko's container"),
        ...nameNotes(request),
      ],
    };
  },
};
