/** From the command line to an exit code. */
import { parseCommandLine, UsageError } from './frame/args.ts';
import type { CliDeps, Command, ExitCode } from './frame/command.ts';
import { configCheck, configShow } from './commands/config.ts';
import { doctor } from './commands/doctor.ts';
import { serve } from './commands/serve.ts';
import { setup } from './commands/setup.ts';
import { explainError } from './frame/failure.ts';
import { helpText } from './frame/help.ts';
import { type CliIo, printError, printLine } from './frame/output.ts';

const commands: readonly Command[] = [serve, setup, doctor, configCheck, configShow];

/** `argv` without node and script. Never rejects; the caller ends the process with the code. */
export async function run(argv: readonly string[], io: CliIo, deps: CliDeps): Promise<ExitCode> {
  try {
    const invocation = parseCommandLine(argv, commands);
    switch (invocation.kind) {
      case 'help':
        io.out.write(helpText(invocation.command, commands));
        return 0;
      case 'version':
        printLine(io.out, deps.version);
        return 0;
      case 'command': {
        const command = commands.find(({ name }) => name === invocation.name);
        if (command === undefined) throw new TypeError(`no command ${invocation.name}`);
        return await command.run(invocation.options, io, deps);
      }
    }
  } catch (error) {
    if (!(error instanceof UsageError)) {
      explainError(error, io);
      return 1;
    }
    printError(io, error.message);
    printLine(io.err, 'weir --help says what there is.');
    return 2;
  }
}
