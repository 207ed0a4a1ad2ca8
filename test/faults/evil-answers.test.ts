import { answers, heads } from './support/evil-answers.ts';
import { describeMatrix } from './support/evil-suite.ts';

describeMatrix('an upstream that answers what was not asked', { misbehaviours: [...answers, ...heads], cells: 469 });
