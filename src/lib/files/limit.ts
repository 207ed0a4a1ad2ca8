/** How many files and connections this process may have open, and how many clients that is good for. */

/** Descriptors for everything that is not a client's connection. */
const reservedFds = 512;

/** The soft limit; undefined where there is none or the system does not say. */
export function openFileLimit(): number | undefined {
  const report: unknown = process.report.getReport();
  const limits = report as { readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } } };
  const soft = Number(limits.userLimits?.open_files?.soft);
  return Number.isFinite(soft) ? soft : undefined;
}

/** Half of the limit: a client may cost an upstream connection or a file beside its own. Undefined: not to be limited. */
export function connectionsFor(limit: number | undefined): number | undefined {
  return limit !== undefined && limit > 2 * reservedFds ? Math.floor((limit - reservedFds) / 2) : undefined;
}
