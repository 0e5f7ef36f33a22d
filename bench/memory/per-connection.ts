// What does an idle connection hold in the server, over each edge?
//
// node dist/bench/memory/per-connection.js [connections]
// A fresh server for each edge, one request on each connection, then all of them idle: the server's own memory
// before and with them, garbage included. Prints KiB for each connection, and MiB of the server without any.

import { superviseChildren } from '../children.ts'
import { MIB, smallImage } from '../content.ts'
import type { Edge, Server } from '../contract.ts'
import { startKeelson } from '../launch.ts'
import { RawConnection } from '../load/raw-connection.ts'
import { choosePlacement, moveToLoadCore } from '../machine.ts'
import { targetPath } from '../scenario-kind.ts'
import { tlsFilesFor } from '../tls-files.ts'
import { resident } from '../usage.ts'
import { findBases, makeDirectory } from '../workspace.ts'
import { pause } from './watch.ts'

const openedAtOnce = 32
const settleMs = 1500
const names: Readonly<Record<Edge, string>> = {
  plain: 'plain, uws',
  tls: 'TLS, uws',
  optional: 'TLS, node-tls, no client certificate',
  mtls: 'TLS, node-tls, client certificates',
}
const edges = ['plain', 'tls', 'optional', 'mtls'] as const satisfies readonly Edge[]

async function openAll(server: Server, path: string, count: number): Promise<RawConnection[]> {
  const all: RawConnection[] = []
  while (all.length < count) {
    const missing = Math.min(openedAtOnce, count - all.length)
    const opening = Array.from({ length: missing }, async () => {
      const connection = await RawConnection.open(server)
      const { status } = await connection.exchange('GET', path)
      if (status !== 200) throw new Error(`GET ${path}: ${status}`)
      return connection
    })
    all.push(...(await Promise.all(opening)))
  }
  return all
}

async function main(): Promise<void> {
  superviseChildren()
  const count = Number(process.argv[2] ?? 1000)
  const placement = choosePlacement()
  moveToLoadCore(placement)
  const bases = findBases(undefined)
  for (const edge of edges) {
    const directory = makeDirectory(bases, 'memory') ?? makeDirectory(bases, 'disk')
    if (directory === undefined) throw new Error('there is no file system for a store')
    const tls = await tlsFilesFor({ edge })
    const { serverCores } = placement
    const server = await startKeelson({ directory, serverCores, tls })
    const content = smallImage()
    await server.load(content)
    const path = targetPath(content, 'digest')
    // A few have come and gone before, so that what is made once is not held against the others. As many
    // would leave memory that the others then take, and seem to need none.
    for (const connection of await openAll(server, path, openedAtOnce)) connection.close()
    await pause(settleMs)
    const before = resident(server.pid).anonymousBytes
    const all = await openAll(server, path, count)
    await pause(settleMs)
    const during = resident(server.pid).anonymousBytes
    for (const connection of all) connection.close()
    await server.stop()
    const each = ((during - before) / count / 1024).toFixed(1)
    const alone = (before / MIB).toFixed(0)
    process.stdout.write(
      `${names[edge].padEnd(40)}${each.padStart(7)} KiB each, ${alone} MiB without\n`,
    )
  }
}

await main()
