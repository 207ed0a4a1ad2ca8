/** From the operating system's error numbers to the few kinds on which policy decides. */
import { errorCode } from '../../lib/system-error.ts';
import { StoreError } from '../contract/blob-store.ts';

const fullCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** `full` for the codes that freeing space can cure, else `sick`. A StoreError passes unchanged. */
export function storeError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = errorCode(error) ?? 'unknown error';
  return new StoreError(fullCodes.has(code) ? 'full' : 'sick', `${doing} failed: ${code}`, { cause: error });
}
