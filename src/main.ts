// The program: the command line in, an exit code out. Nothing else ends the process.
import { runCommandLine } from './cli/index.ts'

const code = await runCommandLine(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  // A terminal that does not know its width says 0.
  width: () => (process.stderr.isTTY ? process.stderr.columns || 80 : undefined),
})
process.exit(code)
