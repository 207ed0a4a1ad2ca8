/** What is in registries besides images: a Helm chart, a Wasm module, a signed artifact, one large file. */
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../process.ts';
import type { Tools } from '../tools.ts';
import type { Workspace } from '../workspace.ts';

export interface Files {
  /** A packaged chart named `weir-e2e`, version 0.1.0. */
  readonly chart: string;
  readonly wasm: string;
  readonly model: string;
  readonly signature: string;
  readonly sbom: string;
}

/** `helm create` and `helm package`, with a description that keeps the bytes apart from every other upstream's. */
async function packChart(tools: Tools, directory: string, identity: string): Promise<string> {
  await run(tools.helm, ['create', 'weir-e2e'], { cwd: directory });
  const file = join(directory, 'weir-e2e', 'Chart.yaml');
  const text = readFileSync(file, 'utf8').replace(/^description:.*$/m, `description: ${identity}`);
  writeFileSync(file, text);
  await run(tools.helm, ['package', 'weir-e2e'], { cwd: directory });
  return join(directory, 'weir-e2e-0.1.0.tgz');
}

/** Node has it; the compiler's `lib` for servers does not declare it. */
const { WebAssembly: wasm } = globalThis as unknown as {
  readonly WebAssembly: {
    instantiate(bytes: Uint8Array): Promise<{ readonly instance: { readonly exports: Record<string, unknown> } }>;
  };
};

/**
 * The smallest useful module: `(module (func (export "answer") (result i32) i32.const 42))`, and a custom section with
 * the identity (WebAssembly core specification, 5.5). It is checked by running it.
 */
async function writeWasm(file: string, identity: string): Promise<void> {
  const name = Buffer.from('id');
  const text = Buffer.from(identity);
  const custom = [0, name.length + text.length + 1, name.length, ...name, ...text];
  const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  const sections = [
    [1, 5, 1, 0x60, 0, 1, 0x7f], // type: () -> i32
    [3, 2, 1, 0], // function 0 has type 0
    [7, 10, 1, 6, ...Buffer.from('answer'), 0, 0], // export
    [10, 6, 1, 4, 0, 0x41, 42, 0x0b], // code: i32.const 42, end
  ];
  const bytes = Uint8Array.from([...header, ...sections.flat(), ...custom]);
  const { instance } = await wasm.instantiate(bytes);
  const { answer } = instance.exports;
  if (typeof answer !== 'function' || answer() !== 42) throw new Error('the Wasm module does not run');
  writeFileSync(file, bytes);
}

export async function makeFiles(tools: Tools, workspace: Workspace, identity: string): Promise<Files> {
  const directory = workspace.directory('files');
  const at = (name: string): string => join(directory, name);
  await writeWasm(at('module.wasm'), identity);
  writeFileSync(at('model.bin'), randomBytes(300_000));
  appendFileSync(at('model.bin'), identity);
  writeFileSync(at('signature.json'), JSON.stringify({ signed: identity }));
  writeFileSync(at('sbom.spdx.json'), JSON.stringify({ spdxVersion: 'SPDX-2.3', name: identity }));
  return {
    chart: await packChart(tools, directory, identity),
    wasm: at('module.wasm'),
    model: at('model.bin'),
    signature: at('signature.json'),
    sbom: at('sbom.spdx.json'),
  };
}
