// Answers for waiting in tests: until a condition holds, never for a time.

const pollEveryMs = 5

/**
 * Resolve when `condition` holds.
 * Limits: `deadlineMs`, default 20,000. Errors: an Error that names `what` after it.
 */
export async function until(
  what: string,
  condition: () => boolean,
  deadlineMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in ${deadlineMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, pollEveryMs))
  }
}

/** The value of `promise`. Limits and errors: as `until`. */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  deadlineMs = 20_000,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not in ${deadlineMs} ms: ${what}`)), deadlineMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
