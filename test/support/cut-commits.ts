// Answers for a way to a PostgreSQL that is cut in the middle of a commit: a socket in a folder of its own.
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `before`: the server never hears of it. `after`: it has committed, and nobody hears its answer. */
export type Cut = 'before' | 'after'

export interface CommitCutter {
  /** The folder of the socket, for `host`. */
  readonly host: string
  /** How many commits were cut. */
  readonly count: () => number
  /** The next commits, in this order; each ends its connection. */
  cut(...cuts: readonly Cut[]): void
  close(): Promise<void>
}

const commit = Buffer.from('COMMIT\0')

/** `far`: the folder of the server's socket. */
export async function startCommitCutter(far: string): Promise<CommitCutter> {
  const host = await mkdtemp(join(tmpdir(), 'keelson-cut-'))
  await chmod(host, 0o755)
  const name = '.s.PGSQL.5432'
  const cuts: Cut[] = []
  const open = new Set<Socket>()
  let count = 0
  const server = createServer((near) => {
    const away = connect(join(far, name))
    let isCut = false
    const end = (): void => {
      near.destroy()
      away.destroy()
    }
    for (const socket of [near, away]) {
      open.add(socket)
      socket.on('error', end)
      socket.on('close', () => {
        open.delete(socket)
        end()
      })
    }
    near.on('data', (chunk) => {
      const cut = chunk.includes(commit) ? cuts.shift() : undefined
      if (cut !== undefined) count += 1
      if (cut === 'before') return end()
      isCut = cut === 'after'
      away.write(chunk)
    })
    away.on('data', (chunk) => {
      if (isCut) end()
      else near.write(chunk)
    })
  })
  server.listen(join(host, name))
  await once(server, 'listening')
  return {
    host,
    count: () => count,
    cut: (...more) => void cuts.push(...more),
    close: async () => {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
      await rm(host, { recursive: true, force: true })
    },
  }
}
