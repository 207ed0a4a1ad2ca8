import { redirects } from './support/evil-answers.ts';
import { describeMatrix } from './support/evil-suite.ts';

const canary = 'canary-7b1e55';

describeMatrix('an upstream that sends weir elsewhere', {
  misbehaviours: redirects,
  cells: 161,
  entry: { access: 'all', auth: { username: 'weir', passwordEnv: 'CANARY' } },
  env: { CANARY: canary },
  secrets: [canary, Buffer.from(`weir:${canary}`).toString('base64')],
});
