// Answers for one outside command run to its end: its output, or an error that shows all of it.
import { spawn } from 'node:child_process'

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Written to the command's standard input, which is closed otherwise. */
  readonly input?: string
  /** Default 120,000. */
  readonly timeoutMs?: number
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * Run a command and take whatever it answers.
 * Limits: `timeoutMs`; then it and its children are killed and `code` is null.
 * Errors: an Error if it cannot be started.
 */
export async function attempt(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes))
  child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes))
  // A command that does not read its input closes it early, which is no fault.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const killGroup = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
  const timer = setTimeout(killGroup, options.timeoutMs ?? 120_000)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  }).finally(() => clearTimeout(timer))
  return {
    code,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  }
}

/**
 * Run a command that must succeed; answers its stdout without the last line end.
 * Errors: an Error with the command line and its whole output if it exits with anything but 0.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await attempt(command, args, options)
  if (code === 0) return stdout.trimEnd()
  throw new Error(`${command} ${args.join(' ')}\nended with ${code}\n${stdout}\n${stderr}`)
}
