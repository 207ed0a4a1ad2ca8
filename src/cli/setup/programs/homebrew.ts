/**
 * Homebrew takes its bottles from ghcr.io, or from `HOMEBREW_ARTIFACT_DOMAIN` in its place (Library/Homebrew/
 * github_packages.rb, env_config.rb). A domain whose path begins with /v2 gets no second one, so the path names the upstream.
 */
import { type ClientSetup, SetupError } from '../contract/client-setup.ts';

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
        'Older versions put /v2 behind it: for them, give ghcr.io a host of its own (docs/clients.md).',
        'What lies on no registry, portable Ruby for one, still comes from where it is.',
        ...(listener.ca === undefined
          ? []
          : [`Homebrew uses the system's curl: add ${listener.ca.path} to the authorities of the system.`]),
      ],
    };
  },
};
