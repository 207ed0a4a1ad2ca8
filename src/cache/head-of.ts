/** Waiting for the head of a fill that may have been begun for nobody. */
import type { Repository } from '../oci/reference.ts';
import type { Fill } from './fill.ts';
import { isDenied, isNotFound } from './refusals.ts';
import type { FillHead } from './succession.ts';

/**
 * As `Fill.head`. Undefined when the fill was begun for nobody and has failed for a reason that a request of one's own may
 * not meet.
 */
export async function headOf(fill: Fill, repository: Repository, signal: AbortSignal): Promise<FillHead | undefined> {
  try {
    return await fill.head(repository, signal);
  } catch (error) {
    if (!fill.wasPrefetch || signal.aborted || isNotFound(error) || isDenied(error)) throw error;
    return undefined;
  }
}
