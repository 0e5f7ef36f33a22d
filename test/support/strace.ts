// Answers for strace in tests: whether this machine has it and lets this user use it.

import { startDaemon } from './daemon.ts'
import { attempt } from './run.ts'
import { findTool, needsThat } from './tools.ts'

async function lacking(): Promise<readonly string[]> {
  if (findTool('strace') === undefined) return ['strace']
  const { code } = await attempt('strace', ['-o', '/dev/null', 'true'])
  return code === 0 ? [] : ['the right to trace processes']
}

async function lackingForRunning(): Promise<readonly string[]> {
  const lacks = await lacking()
  if (lacks.length > 0) return lacks
  const target = await startDaemon({
    command: 'sh',
    args: ['-c', 'echo ready; exec sleep 60'],
    onLine: (line) => line === 'ready' || undefined,
  })
  try {
    const strace = await startDaemon({
      command: 'strace',
      args: ['-p', String(target.pid)],
      onLine: (line) => line.includes(' attached') || undefined,
    })
    await strace.stop()
    return []
  } catch {
    return ['the right to trace running processes']
  } finally {
    target.kill()
    await target.exited
  }
}

/** Options for `test()`: skips, by name, where nothing can be started under strace. */
export async function needsStrace(): Promise<{ readonly skip: string | false }> {
  return needsThat(await lacking())
}

/** The same for processes that run already. */
export async function needsStraceOfRunning(): Promise<{ readonly skip: string | false }> {
  return needsThat(await lackingForRunning())
}
