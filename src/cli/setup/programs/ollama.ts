/**
 * Ollama names are host/namespace/model (ollama types/model/name.go): there is no room for an upstream's name, so weir
 * must know it by default or by its Host.
 */
import { type ClientSetup, type Listener, SetupError, type SetupUpstream } from '../contract/client-setup.ts';

const registry = 'registry.ollama.ai';

export const ollama: ClientSetup = {
  name: 'ollama',
  aliases: [],
  summary: "nothing to write: weir's address goes into the name",
  generate: ({ listener, upstreams }) => {
    const upstream =
      upstreams.find(({ key }) => key === registry) ?? (upstreams.length === 1 ? upstreams[0] : undefined);
    const address = upstream === undefined ? undefined : addressOf(upstream, listener);
    if (address === undefined)
      throw new SetupError(
        `Ollama's names have no room for an upstream's: make ${registry} an upstream of weir that has a host of its ` +
          `own (upstreams: { ${registry}: { hosts: [ollama.weir.example] } }) or is the default`,
      );
    const flag = listener.isTls ? '' : ' --insecure';
    return {
      files: [],
      commands: [`ollama pull ${address}/library/MODEL:TAG${flag}`],
      notes: [
        'Ollama has no mirror setting; the model keeps this name. ollama cp gives it a shorter one.',
        ...(listener.ca === undefined
          ? []
          : [`ollama serve must trust ${listener.ca.path}: add it to the authorities of its system.`]),
      ],
    };
  },
};

/** With its scheme, because Ollama takes https for granted. */
function addressOf({ isDefault, hosts: [host] }: SetupUpstream, { origin }: Listener): string | undefined {
  if (isDefault) return origin;
  if (host === undefined) return undefined;
  const url = new URL(origin);
  return `${url.protocol}//${host.includes(':') || url.port === '' ? host : `${host}:${url.port}`}`;
}
