/**
 * Homebrew takes its bottles from ghcr.io, or from `HOMEBREW_ARTIFACT_DOMAIN` in its place (Library/Homebrew/
 * github_packages.rb, env_config.rb). A domain whose path begins with /v2 gets no second one, so the path names the upstream.
 */
import { type ClientSetup, SetupError } from './client-setup.ts';

export const homebrew: ClientSetup = {
  name: 'homebrew',
  aliases: ['brew'],
  summary: 'HOMEBREW_ARTIFACT_DOMAIN in brew.env',
  generate: ({ listener, upstreams }) => {
    if (!upstreams.some(({ key }) => key === 'ghcr.io'))
      throw new SetupError('Homebrew takes its bottles from ghcr.io, and that is not among the upstreams');
    const set = { HOMEBREW_ARTIFACT_DOMAIN: `${listener.origin}/v2/ghcr.io` };
    return {
      files: [{ path: '/etc/homebrew/brew.env', content: { kind: 'variables', set } }],
      commands: [],
      notes: [
        'To allow no way around weir, set HOMEBREW_ARTIFACT_DOMAIN_NO_FALLBACK=1 there as well.',
        ...(listener.ca === undefined
          ? []
          : [`Homebrew uses the system's curl: add ${listener.ca.path} to the authorities of the system.`]),
      ],
    };
  },
};
