// Where a unix socket is bound: the system allows a short path only.
import { relative } from 'node:path'

// The address of a unix socket is 108 bytes with its final NUL (man 7 unix).
const socketPathBytesMax = 107

/**
 * The path by which a socket is bound: a socket in a deep folder may be too far from the root and yet
 * near to where the process runs. `problem` says what is wrong where both are too long.
 */
export function fitSocket(absolute: string): {
  readonly path: string
  readonly problem: string | undefined
} {
  const path = shorterPath(absolute)
  const length = Buffer.byteLength(path)
  const problem =
    length > socketPathBytesMax
      ? `expected a path of at most ${socketPathBytesMax} bytes; found ${length}: ${path}`
      : undefined
  return { path, problem }
}

function shorterPath(absolute: string): string {
  const near = relative(process.cwd(), absolute)
  const fits = Buffer.byteLength(absolute) <= socketPathBytesMax
  return fits || near.length >= absolute.length ? absolute : near
}
