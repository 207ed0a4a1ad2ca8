/** `weir config check` and `weir config show`. */
import { showPlain, showYaml } from '../../config/show.ts';
import type { Command } from '../frame/command.ts';
import { loadOrExplain } from '../frame/load.ts';
import { printJson, printLine } from '../frame/output.ts';

export const configCheck: Command = {
  name: 'config check',
  options: ['config', 'json'],
  summary: 'Name every problem of the configuration, or say that there is none.',
  help: 'Reads the file, if one is named, and the WEIR_* variables, as serve would. Starts nothing.',
  run: async (options, io) => {
    const loaded = loadOrExplain(options, io);
    if (loaded === undefined) return 2;
    const { upstreams } = loaded.config;
    const defaultKey = upstreams.find(({ isDefault }) => isDefault)?.key;
    if (options.json) printJson(io.out, { ok: true, problems: [] });
    else
      printLine(
        io.out,
        `The configuration is fine: ${upstreams.length} upstreams, the default is ${defaultKey ?? 'none'}.`,
      );
    return 0;
  },
};

export const configShow: Command = {
  name: 'config show',
  options: ['config', 'json'],
  summary: 'Print the configuration in effect, and where each value comes from.',
  help: 'The output is a configuration file with the same effect. Secrets are masked.',
  run: async (options, io) => {
    const loaded = loadOrExplain(options, io);
    if (loaded === undefined) return 2;
    if (options.json) printJson(io.out, showPlain(loaded));
    else io.out.write(showYaml(loaded));
    return 0;
  },
};
