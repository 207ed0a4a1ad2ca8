/** A setup as text: what is not for the file is a comment, so that the whole may go where the file goes. */
import type { Listener, Setup } from './contract/client-setup.ts';
import { fresh } from './files/merge.ts';

export function renderSetup({ files, commands, notes }: Setup, { origin }: Listener, client: string): string {
  const lines = [`# ${client} through weir at ${origin}`];
  for (const note of notes) lines.push(`# ${note}`);
  for (const { path, content } of files) {
    const how = { own: '', json: ' (merge these keys)', variables: ' (add these lines)', part: ' (add, once)' };
    lines.push('', `# ${path}${how[content.kind]}`, fresh(content).trimEnd());
  }
  if (commands.length === 0) return `${lines.join('\n')}\n`;
  // Where there is nothing to write, the commands are what is to be pasted.
  const isAfter = files.length > 0;
  lines.push('', ...(isAfter ? ['# Then:', ...commands.map((line) => `#   ${line}`)] : commands));
  return `${lines.join('\n')}\n`;
}

export function plainSetup({ files, commands, notes }: Setup, { origin }: Listener, client: string): unknown {
  const plain = files.map(({ path, content }) => ({ path, content: fresh(content), how: content.kind }));
  return { client, url: origin, files: plain, commands, notes };
}
