// The program: the command line in, an exit code out. Nothing else ends the process.
import { runCommandLine } from './cli/index.ts'

const code = await runCommandLine(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
})
process.exit(code)
