/** Policies as artifacts: conftest's bundles, and what gator takes out of an image. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';
import { run } from '../process.ts';
import { pushWithOrasPython } from './oras.ts';
import { expectMatch, expectSame, failure, homeIn, type Tool } from './tool.ts';

const rego = `package main

deny contains msg if {
  input.kind == "Deployment"
  not input.spec.owner
  msg := "no owner"
}
`;

export const conftest: Tool = {
  name: 'conftest',
  programs: ['conftest'],
  upstreams: ['dist3.test', 'referrers.test'],
  prepare: async ({ directory, upstream, path }) => {
    mkdirSync(join(directory, 'policy'));
    writeFileSync(join(directory, 'policy', 'deny.rego'), rego);
    const options = { cwd: directory, env: homeIn(directory) };
    await run(path('conftest'), ['push', '--tls=false', `${upstream.host}/lab/policy:1`], options);
    return async ({ base, directory: own, env }) => {
      const call = { cwd: own, env };
      await run(path('conftest'), ['pull', '--tls=false', '-p', 'got', `oci://${base}/lab/policy:1`], call);
      const [got, pushed] = [join(own, 'got', 'policy', 'deny.rego'), join(directory, 'policy', 'deny.rego')];
      expectSame('the policy', await hashFile(got), await hashFile(pushed));
      writeFileSync(join(own, 'good.json'), JSON.stringify({ kind: 'Deployment', spec: { owner: 'e2e' } }));
      writeFileSync(join(own, 'bad.json'), JSON.stringify({ kind: 'Deployment', spec: {} }));
      await run(path('conftest'), ['test', '-p', 'got', 'good.json'], call);
      expectMatch(
        'conftest test',
        await failure(path('conftest'), ['test', '-p', 'got', 'bad.json'], call),
        /no owner/,
      );
    };
  },
};

const template = {
  apiVersion: 'templates.gatekeeper.sh/v1',
  kind: 'ConstraintTemplate',
  metadata: { name: 'needsowner' },
  spec: {
    crd: { spec: { names: { kind: 'NeedsOwner' } } },
    targets: [
      {
        target: 'admission.k8s.gatekeeper.sh',
        rego: `package needsowner
violation[{"msg": msg}] { not input.review.object.metadata.labels.owner; msg := "no owner" }`,
      },
    ],
  },
};

const constraint = {
  apiVersion: 'constraints.gatekeeper.sh/v1beta1',
  kind: 'NeedsOwner',
  metadata: { name: 'needs-owner' },
  spec: { match: { kinds: [{ apiGroups: [''], kinds: ['ConfigMap'] }] } },
};

const configMap = (labels: Readonly<Record<string, string>>): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'e2e', labels } });

/** gator reads every file of the artifact, so that each has to come with its name, as ORAS pushes them. */
export const gator: Tool = {
  name: 'gator',
  programs: ['gator', 'orasPython'],
  upstreams: ['dist3.test', 'referrers.test'],
  prepare: async ({ directory, upstream, path }) => {
    const files = { 'template.yaml': template, 'constraint.yaml': constraint };
    for (const [name, document] of Object.entries(files))
      writeFileSync(join(directory, name), JSON.stringify(document));
    const names = Object.keys(files).map((name) => `${name}:application/yaml`);
    await pushWithOrasPython(path('orasPython'), directory, `${upstream.host}/lab/gator:1`, names);
    return async ({ base, directory: own, env }) => {
      writeFileSync(join(own, 'good.yaml'), configMap({ owner: 'e2e' }));
      writeFileSync(join(own, 'bad.yaml'), configMap({}));
      const args = ['test', '--image', `${base}/lab/gator:1`, '--tempdir', own, '--filename'];
      await run(path('gator'), [...args, 'good.yaml'], { cwd: own, env });
      expectMatch('gator test', await failure(path('gator'), [...args, 'bad.yaml'], { cwd: own, env }), /no owner/);
    };
  },
};
