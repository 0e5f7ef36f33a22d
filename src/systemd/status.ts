// What `systemctl status` shows of a server after a reload.

/** As the runtime and the supervisor tell it. */
interface Outcome {
  readonly ok: boolean
  readonly problems?: readonly string[]
  readonly needsRestart?: readonly string[]
}

/** One line. `serving`: what it says where there is nothing more to say. */
export function statusAfterReload(serving: string, outcome: Outcome): string {
  const { ok, problems = [], needsRestart = [] } = outcome
  if (!ok) return `${serving}; the last reload was refused: ${problems[0] ?? 'see the log'}`
  if (needsRestart.length === 0) return serving
  return `${serving}; after the next restart: ${needsRestart.join(', ')}`
}
