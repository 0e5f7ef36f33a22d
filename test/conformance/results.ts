// Answers for what the conformance suite reported: its results.yaml and the report on its stdout.

export interface Results {
  /** The suite's API and data switches as it understood them. */
  readonly switches: Readonly<Record<string, string>>
  readonly apis: Readonly<Record<string, string>>
  readonly data: Readonly<Record<string, string>>
}

/** Reads results.yaml, which holds nothing but nested maps of plain scalars. */
export function readResults(yaml: string): Results {
  const switches: Record<string, string> = {}
  const apis: Record<string, string> = {}
  const data: Record<string, string> = {}
  const path: string[] = []
  for (const line of yaml.split('\n')) {
    const [, indent = '', key = '', value = ''] = /^( *)([^:]+):\s*(.*)$/.exec(line) ?? []
    if (key === '') continue
    path.length = indent.length / 2
    path.push(key)
    if (value === '') continue
    const [top, section] = path
    if (top === 'apis') apis[key] = value
    else if (top === 'data') data[key] = value
    else if (section === 'apis' || section === 'data') switches[path.slice(1).join('.')] = value
  }
  return { switches, apis, data }
}

/** Reads the summary, lines such as `  Pass..........:  512`. */
export function readCounts(report: string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const [, status = '', count = ''] of report.matchAll(/^ {2}(\w+)\.+: +(\d+)$/gm)) {
    if (status !== 'Total') counts[status] = Number(count)
  }
  return counts
}

/** The report's lines for checks that did not pass, each with the reason lines under it. */
export function readTroubles(report: string): readonly string[] {
  const troubles: string[] = []
  let isTrouble = false
  for (const line of report.split('\n')) {
    if (line.startsWith('Configuration:')) break
    const status = /^ *OCI Conformance Test.*: (\w+)$/.exec(line)?.[1]
    if (status !== undefined) isTrouble = status !== 'Pass'
    if (isTrouble) troubles.push(line)
  }
  return troubles
}
