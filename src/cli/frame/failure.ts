/** What a person reads when something failed: one line where the cause is known, the whole trace where it is a defect. */
import { type CliIo, printError, printLine } from './output.ts';

const deepestCause = 4;

export function explainError(error: unknown, io: CliIo): void {
  if (error instanceof Error && isExpected(error)) {
    printError(io, causes(error).join(': '));
    return;
  }
  printError(io, 'this is a defect of weir, please report it');
  printLine(io.err, error instanceof Error ? (error.stack ?? error.message) : String(error));
}

/** Errors of ours have a `kind` from a closed set, those of the system a `code` and the call that failed. */
function isExpected(error: Error): boolean {
  const isOurs = 'kind' in error && typeof error.kind === 'string';
  return isOurs || ('code' in error && 'syscall' in error);
}

/** Messages from the outside in, without those that only repeat what was said. */
function causes(error: Error): string[] {
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error && messages.length < deepestCause; at = at.cause) {
    const { message } = at;
    if (messages.some((said) => said.includes(message))) continue;
    // The system's messages begin with the code with which ours end.
    const [code = ''] = message.split(': ', 1);
    const said = messages.at(-1);
    if (said?.endsWith(`: ${code}`)) messages[messages.length - 1] = said.slice(0, -code.length - 2);
    messages.push(message);
  }
  return messages;
}
