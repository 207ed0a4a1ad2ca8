/** Every scenario, in the order of the report. */
import type { Scenario } from '../bench.ts';
import { busyHits } from './busy-hits.ts';
import { coldBlob } from './cold-blob.ts';
import { cut } from './cut.ts';
import { eviction } from './eviction.ts';
import { herd } from './herd.ts';
import { image } from './image.ts';
import { limited } from './limited.ts';
import { manifests } from './manifests.ts';
import { ranges } from './ranges.ts';
import { slowReadersBeside } from './slow-readers.ts';
import { stalled } from './stalled.ts';
import { startUp } from './start.ts';
import { warmBlob } from './warm-blob.ts';

export const scenarios: readonly Scenario[] = [
  manifests,
  warmBlob,
  coldBlob,
  limited,
  herd,
  ranges,
  slowReadersBeside,
  cut,
  image,
  busyHits,
  eviction,
  stalled,
  startUp,
];
