/** Files in the formats that models are published in, small in meaning and of any size, made without any of their tools. */
import { createCipheriv, randomBytes } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** A string of GGUF: its length in 64 bits, then UTF-8. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

/** Value types of GGUF's metadata. */
const [uint32Type, stringType] = [4, 8];

function entry(key: string, value: number | string): Buffer {
  const typed = typeof value === 'number' ? [u32(uint32Type), u32(value)] : [u32(stringType), text(value)];
  return Buffer.concat([text(key), ...typed]);
}

/** Writes the keystream of AES-CTR under a fresh key: bytes of no pattern, made about as fast as they are written. */
function writeNoise(out: number, sizeBytes: number): void {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const zeros = Buffer.alloc(4 * 1024 * 1024);
  for (let left = sizeBytes; left > 0; left -= zeros.length) {
    writeSync(out, cipher.update(left < zeros.length ? zeros.subarray(0, left) : zeros));
  }
}

function writeFile(file: string, head: Buffer, noiseBytes: number): void {
  const out = openSync(file, 'wx');
  try {
    writeSync(out, head);
    writeNoise(out, noiseBytes);
  } finally {
    closeSync(out);
  }
}

export function writeNoiseFile(file: string, sizeBytes: number): void {
  writeFile(file, Buffer.alloc(0), sizeBytes);
}

const embeddingLength = 4096;

/**
 * A GGUF file, version 3 (the ggml project, docs/gguf.md), of one 32-bit tensor with so many rows of 16 KiB. Its size is a
 * multiple of 32 bytes.
 */
export function writeGguf(file: string, name: string, rows: number): void {
  const metadata = [
    entry('general.architecture', 'llama'),
    entry('general.name', name),
    entry('general.file_type', 0),
    entry('llama.block_count', 1),
    entry('llama.context_length', 4096),
    entry('llama.embedding_length', embeddingLength),
    entry('llama.feed_forward_length', embeddingLength),
    entry('llama.attention.head_count', 32),
    entry('llama.vocab_size', rows),
    entry('tokenizer.ggml.model', 'llama'),
  ];
  const tensor = [text('token_embd.weight'), u32(2), u64(embeddingLength), u64(rows), u32(0), u64(0)];
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(1), u64(metadata.length), ...metadata, ...tensor]);
  const aligned = Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32)]);
  writeFile(file, aligned, rows * embeddingLength * 4);
}

/** The head of a ggml model of whisper.cpp (its models/convert-pt-to-ggml.py): a magic number and eleven parameters. */
export function writeWhisper(file: string, sizeBytes: number): void {
  const tiny = [51_865, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1];
  const head = Buffer.concat([u32(0x67_67_6d_6c), ...tiny.map(u32)]);
  writeFile(file, head, sizeBytes - head.length);
}

/** A safetensors file: the length of a JSON document, the document, the tensors it describes. */
export function safetensors(sizeBytes: number): Buffer {
  const tensor = { dtype: 'U8', shape: [sizeBytes], data_offsets: [0, sizeBytes] };
  const document = Buffer.from(JSON.stringify({ weight: tensor }));
  return Buffer.concat([u64(document.length), document, randomBytes(sizeBytes)]);
}
