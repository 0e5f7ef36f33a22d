// Splits PEM files into their blocks. A file that is cut off within a block is refused: half a bundle
// must never pass for a whole one. Source: RFC 7468.
import { TlsFileError } from './tls-files.ts'

export interface PemBlock {
  /** What it says it is: `CERTIFICATE`, `PRIVATE KEY`, `X509 CRL`. */
  readonly label: string
  /** With its first and last line. */
  readonly text: string
}

const boundary = /^-----(BEGIN|END) ([A-Z0-9 ]+)-----\s*$/

// Also one of which only dashes are there.
const brokenBoundary = /^(?:-----|-+$)/

/** Every block of a file; text between them is left out. Errors: TlsFileError. */
export function pemBlocks(path: string, text: string): readonly PemBlock[] {
  const blocks: PemBlock[] = []
  let open: { readonly label: string; readonly lines: string[] } | undefined
  for (const line of text.split('\n')) {
    const [, kind, label = ''] = boundary.exec(line) ?? []
    if (kind === undefined && brokenBoundary.test(line)) throw cutOff(path)
    if (kind === 'BEGIN') {
      if (open !== undefined) throw cutOff(path)
      open = { label, lines: [] }
    }
    open?.lines.push(line.trimEnd())
    if (kind !== 'END') continue
    if (open?.label !== label) throw cutOff(path)
    blocks.push({ label, text: `${open.lines.join('\n')}\n` })
    open = undefined
  }
  if (open !== undefined) throw cutOff(path)
  return blocks
}

function cutOff(path: string): TlsFileError {
  return new TlsFileError(path, 'a PEM block in it is cut off', 'write the whole file again')
}
