/** Bodies that are read whole: manifests, listings and what registries say about errors. Always with a limit. */
import { parseJson } from '../../lib/json/json.ts';
import type { UpstreamError } from '../contract/errors.ts';
import type { IncomingResponse } from './sender.ts';

/** Enough for every error document; more is not the registry's own. */
const errorTextBytes = 16 * 1024;

/** The whole body. Throws `tooLarge()` beyond `limitBytes`, before reading where the head says so already. */
export async function readWhole(
  response: IncomingResponse,
  limitBytes: number,
  tooLarge: () => UpstreamError,
): Promise<Uint8Array> {
  const declared = Number(response.headers['content-length'] ?? 0);
  if (declared > limitBytes) {
    response.abort();
    throw tooLarge();
  }
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > limitBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes);
}

/** The start of an error's body as text, as far as it comes; the connection is left usable where that is cheap. */
export async function readText(response: IncomingResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of response.body) {
      chunks.push(chunk);
      sizeBytes += chunk.byteLength;
      if (sizeBytes >= errorTextBytes) break;
    }
  } catch {
    // The status has been said; its explanation broke off and may be incomplete.
  }
  return Buffer.concat(chunks).subarray(0, errorTextBytes).toString('utf8');
}

/** The first error code of an OCI error document (`NAME_UNKNOWN`); undefined for any other text. */
export function errorCodeIn(text: string): string | undefined {
  // Plain text, HTML, or cut off: no code then.
  const document = parseJson(text, { depth: 32 });
  if (typeof document !== 'object' || document === null || !('errors' in document)) return undefined;
  const { errors } = document;
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  if (typeof first !== 'object' || first === null || !('code' in first)) return undefined;
  const { code } = first;
  return typeof code === 'string' && /^[A-Z_]{1,64}$/.test(code) ? code : undefined;
}
