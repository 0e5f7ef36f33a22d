// `keelson audit verify`: whether the audit log is as it was written.
import { relative } from 'node:path'
import { type Verified, verifyFiles } from '../audit/verify.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'

export const auditVerify: Command = {
  name: 'audit verify',
  summary: 'follow the hash chain of the audit log and find what was changed',
  help: `Reads each FILE, the oldest first, or else audit.file of the configuration, and names the first line
that was changed, added, removed or moved. Exits 1 where there is one.
What was cut off at the end shows in nothing but a hash that was kept elsewhere: give it as --head. The
server's /status tells the last one.
For compressed files: zcat audit.jsonl.2.gz | keelson audit verify /dev/stdin`,
  argument: 'FILE',
  takesSeveral: true,
  flags: {},
  options: { head: ['HASH', 'the hash of a record that must be there'] },
  async run(invocation: Invocation): Promise<number> {
    const { options, terminal } = invocation
    const { head } = options as { readonly head?: string }
    if (head !== undefined && !/^[0-9a-f]{64}$/.test(head)) {
      terminal.err('keelson: --head: expected 64 hexadecimal digits\n')
      return exitCodes.usage
    }
    const files = filesOf(invocation)
    if (files === undefined) return exitCodes.failed
    let verified: Verified
    try {
      verified = await verifyFiles(files, head)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      terminal.err(`keelson: ${error.message}\n`)
      return exitCodes.failed
    }
    const { problem } = verified
    terminal.out(shown(verified))
    if (problem === undefined) return exitCodes.ok
    const { file, line, message } = problem
    terminal.err(
      `keelson: ${shownFile(file, invocation.cwd)}${line > 0 ? `:${line}` : ''}: ${message}\n`,
    )
    return exitCodes.failed
  },
}

function filesOf(invocation: Invocation): readonly string[] | undefined {
  if (invocation.words.length > 0) return invocation.words
  const config = loadOrReport(configFiles(invocation), invocation)
  if (config === undefined) return undefined
  const { file } = config.audit
  if (file !== undefined) return [file]
  invocation.terminal.err('keelson: audit.file is not configured: name the files\n')
  return undefined
}

function shown({ records, unchained, torn, openBytes, first, last, problem }: Verified): string {
  const lines = [
    ...(unchained > 0 ? [`${unchained} records are not chained, and could be anything`] : []),
    ...(first === undefined || first.isGenesis
      ? []
      : [`the chain begins with record ${first.seq}: what is before it is in older files`]),
    ...(torn > 0 ? [`${torn} ends that a crash tore, each told of`] : []),
    ...(openBytes > 0 && problem === undefined
      ? [`${openBytes} bytes behind the last record: one is being written, or a crash tore it`]
      : []),
    ...(last === undefined
      ? []
      : [`${records} records are sound, up to ${last.seq}\nhead ${last.hash}`]),
    ...(problem === undefined ? ['OK'] : []),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

// As a person in that folder would write it.
function shownFile(file: string, cwd: string): string {
  const near = relative(cwd, file)
  return near.length < file.length ? near : file
}
