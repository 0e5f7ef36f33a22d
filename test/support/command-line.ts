// Answers for a command line that runs inside the test, with a terminal that remembers what it was told.
import { runCommandLine } from '../../src/cli/index.ts'

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** `args` without the name of the program; `cwd` is what relative paths in them are read from. */
export async function runCommand(args: readonly string[], cwd: string): Promise<Ran> {
  const said = { out: '', err: '' }
  const terminal = {
    out: (text: string) => {
      said.out += text
    },
    err: (text: string) => {
      said.err += text
    },
  }
  const code = await runCommandLine(args, terminal, cwd)
  return { code, ...said }
}
