// What a line says of an error: its causes included, and never more of it than a line can hold.

/** As far as it is known; text is cut where it is long. */
export interface LoggedError {
  readonly type: string
  readonly message: string
  readonly stack?: string
  readonly cause?: LoggedError
  /** Of an AggregateError; the first few. */
  readonly errors?: readonly LoggedError[]
  /** What systems add, such as `code` and `syscall`. */
  readonly [more: string]: unknown
}

const depthMax = 4
const errorsMax = 4
const moreMax = 12
const stackMax = 4096
const textMax = 1024

/** For `err` and the like; what is no error is told as text. Never throws. */
export function loggedError(error: unknown): LoggedError {
  try {
    return describe(error, depthMax)
  } catch {
    return { type: 'Error', message: 'an error that cannot be read' }
  }
}

function describe(error: unknown, depth: number): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: cut(asText(error), textMax) }
  const { cause } = error
  const errors: unknown = 'errors' in error ? error.errors : undefined
  return {
    ...moreOf(error),
    type: cut(error.name, 64),
    message: cut(error.message, textMax),
    ...(error.stack === undefined ? {} : { stack: cut(error.stack, stackMax) }),
    ...(cause === undefined || depth === 0 ? {} : { cause: describe(cause, depth - 1) }),
    ...(Array.isArray(errors) && depth > 0
      ? { errors: errors.slice(0, errorsMax).map((each) => describe(each, depth - 1)) }
      : {}),
  }
}

function moreOf(error: Error): Readonly<Record<string, unknown>> {
  const more: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(error).slice(0, moreMax)) {
    if (typeof value === 'string') more[name] = cut(value, textMax)
    else if (typeof value === 'number' || typeof value === 'boolean') more[name] = value
  }
  return more
}

function asText(value: unknown): string {
  return typeof value === 'object' ? (JSON.stringify(value) ?? '') : String(value)
}

/** The beginning of a text, with the number of characters that are not there. */
export function cut(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text
  return `${text.slice(0, lengthMax)}… (${text.length - lengthMax} more)`
}
