// `keelson doctor`: tells what on this machine would trouble a server with this configuration.
import { nodeReason } from '../config/compose-server.ts'
import type { Finding } from '../doctor/contract.ts'
import { type Command, exitCodes, type Invocation } from './command.ts'
import { configFiles, loadOrReport } from './configuration.ts'

export const doctor: Command = {
  name: 'doctor',
  summary: 'check this machine and the files that the configuration names',
  help: `Looks at the TLS files and when they end, at the transport, and at settings of the kernel, and says
what to do. Exits 1 where something is wrong; warnings alone exit 0. It changes nothing, and opens no
store and no port. Run it as the user of the server, whose permissions it then sees.`,
  flags: { json: 'print the findings as one JSON object' },
  async run(invocation: Invocation): Promise<number> {
    const config = loadOrReport(configFiles(invocation), invocation)
    if (config === undefined) return exitCodes.failed
    // Loaded here, so that the other commands start without them.
    const { diagnose } = await import('../doctor/diagnose.ts')
    const { gatherFacts } = await import('../doctor/facts.ts')
    const { uwsProblem } = await import('../server/transport/uws/listen.ts')
    const facts = await gatherFacts(config, {
      uwsProblem,
      isForUws: (listener) => nodeReason(listener, config.tls) === undefined,
      now: Date.now,
    })
    const findings = diagnose(facts)
    const isWell = findings.every(({ severity }) => severity !== 'error')
    const { terminal, flags } = invocation
    if (flags.has('json')) {
      terminal.out(`${JSON.stringify({ ok: isWell, findings }, undefined, 2)}\n`)
    } else {
      for (const finding of findings) terminal.out(printed(finding))
    }
    return isWell ? exitCodes.ok : exitCodes.failed
  },
}

function printed({ severity, title, detail, remedy }: Finding): string {
  const line = `${severity.padEnd(7)}  ${title}: ${detail}\n`
  return remedy === '' ? line : `${line}         → ${remedy}\n`
}
