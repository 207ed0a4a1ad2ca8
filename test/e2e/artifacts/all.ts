/** Every artifact tool, as scenarios. */
import type { Scenario } from '../scenarios.ts';
import { compose } from './compose.ts';
import { cosigns } from './cosign.ts';
import { craneCommands } from './crane.ts';
import { devcontainer } from './devcontainer.ts';
import { helms } from './helm.ts';
import { orasCliCommands, orasPythonPush } from './oras.ts';
import { conftest, gator } from './policies.ts';
import { regctlCommands } from './regctl.ts';
import { scenariosOf, type Tool } from './tool.ts';
import { wkg } from './wkg.ts';

const tools: readonly Tool[] = [
  ...helms,
  ...cosigns,
  craneCommands,
  regctlCommands,
  orasPythonPush,
  orasCliCommands,
  conftest,
  gator,
  wkg,
  devcontainer,
  compose,
];

export const artifactTools: readonly Scenario[] = tools.flatMap(scenariosOf);
