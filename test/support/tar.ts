// Answers for the tar archives that test images are made of: POSIX ustar, byte for byte the same
// for the same entries.

export interface TarEntry {
  /** Ends in `/` for a folder. */
  readonly name: string
  readonly bytes?: Uint8Array
  readonly linkTo?: string
}

const blockBytes = 512

/** One whole archive. Limits: names up to 100 bytes. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = []
  for (const entry of entries) {
    const bytes = entry.bytes ?? new Uint8Array(0)
    parts.push(header(entry, bytes.length), Buffer.from(bytes))
    parts.push(Buffer.alloc((blockBytes - (bytes.length % blockBytes)) % blockBytes))
  }
  parts.push(Buffer.alloc(2 * blockBytes))
  return Buffer.concat(parts)
}

/** The entries of a plain ustar archive by name, links and folders left out. */
export function untar(archive: Buffer): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (let at = 0; at + blockBytes <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(text(archive, at + 124, 12), 8)
    const start = at + blockBytes
    if (text(archive, at + 156, 1) === '0') {
      files.set(text(archive, at, 100), archive.subarray(start, start + size))
    }
    at = start + Math.ceil(size / blockBytes) * blockBytes
  }
  return files
}

function text(archive: Buffer, start: number, length: number): string {
  return archive.toString('latin1', start, start + length).replace(/\0.*$/s, '')
}

function header(entry: TarEntry, size: number): Buffer {
  const { name, linkTo } = entry
  if (Buffer.byteLength(name) > 100) throw new RangeError(`tar name too long: ${name}`)
  const block = Buffer.alloc(blockBytes)
  const isFolder = name.endsWith('/')
  const kind = linkTo !== undefined ? '2' : isFolder ? '5' : '0'
  block.write(name, 0)
  block.write(octal(isFolder ? 0o755 : 0o644, 7), 100)
  block.write(octal(0, 7), 108)
  block.write(octal(0, 7), 116)
  block.write(octal(size, 11), 124)
  // A fixed time keeps the digests the same in every run.
  block.write(octal(1_700_000_000, 11), 136)
  block.write('        ', 148)
  block.write(kind, 156)
  block.write(linkTo ?? '', 157)
  block.write('ustar\x0000', 257, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1')
  return block
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
