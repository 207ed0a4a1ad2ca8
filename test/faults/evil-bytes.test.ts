import { bodies, framings } from './support/evil-bodies.ts';
import { describeMatrix } from './support/evil-suite.ts';
import { cuts, resumes, unframedCuts } from './support/evil-cuts.ts';

describeMatrix('an upstream that sends other bytes or breaks off', {
  misbehaviours: [...bodies, ...framings, ...cuts, ...unframedCuts, ...resumes],
  cells: 720,
});
