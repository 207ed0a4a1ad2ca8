/** Every scenario, in the order of the report. */
import type { Scenario } from '../bench.ts';
import { coldBlob } from './cold-blob.ts';
import { manifests } from './manifests.ts';
import { warmBlob } from './warm-blob.ts';

export const scenarios: readonly Scenario[] = [manifests, warmBlob, coldBlob];
