/** kind: its nodes run containerd, which reads certs.d since kind 0.27 without being told to. */
import { type ClientSetup, loopbackNotes } from '../contract/client-setup.ts';
import { certsDirectory, hostsFiles } from './containerd.ts';

export const kind: ClientSetup = {
  name: 'kind',
  aliases: [],
  summary: "the same file, in kind's nodes",
  generate: (request) => {
    const files = hostsFiles(request, 'kind');
    const { origin } = request.listener;
    const one = request.isLimited ? ` --upstream ${request.upstreams.map(({ key }) => key).join(' ')}` : '';
    const copies = files.flatMap(({ path }) => {
      const into = `docker exec -i "$node" sh -c 'mkdir -p ${path.replace(/\/[^/]*$/, '')} && cat > ${path}'`;
      return ['for node in $(kind get nodes); do', `  weir setup kind --url ${origin}${one} | ${into}`, 'done'];
    });
    return {
      files,
      commands: copies,
      notes: [
        ...loopbackNotes(request.listener, "kind's nodes"),
        'The files belong into the nodes; the commands put them there, without a restart.',
        `kind before 0.27 also needs config_path = "${certsDirectory}" in containerdConfigPatches: weir setup containerd.`,
      ],
    };
  },
};
