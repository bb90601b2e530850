/** Below the trace: what was asked for and does not run yet, and why; null when there is nothing to say. */
export function RunStatus() {
  return null;
}
