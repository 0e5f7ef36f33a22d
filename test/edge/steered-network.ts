// Answers for a server's host and a network of clients: two network namespaces with a cable between.
import { run } from '../support/run.ts'

const serverHost = { ipv4: '192.0.2.1', ipv6: 'fd00::1' } as const

export interface SteeredNetwork {
  readonly serverHost: typeof serverHost
  /** Each in another /64, but for the last, which shares that of the first. */
  readonly clientsIpv4: readonly string[]
  readonly clientsIpv6: readonly string[]
  /** To be put before a command that shall run on that host. */
  readonly onServer: readonly string[]
  readonly onClient: readonly string[]
  /** Replace all rules of the server's host. */
  rule(nft: string): Promise<void>
  remove(): Promise<void>
}

/** Errors: as `run`, with nothing left behind. */
export async function createSteeredNetwork(clients: number): Promise<SteeredNetwork> {
  const server = `keelson-${process.pid}-server`
  const client = `keelson-${process.pid}-client`
  const clientsIpv4 = Array.from({ length: clients }, (_, index) => `192.0.2.${index + 11}`)
  const clientsIpv6 = Array.from({ length: clients }, (_, index) => `fd00:0:0:${index + 1}::1`)
  clientsIpv6.push('fd00:0:0:1::2')
  const ip = (...args: readonly string[]): Promise<string> => run('ip', args)
  const remove = async (): Promise<void> => {
    for (const name of [server, client]) await ip('netns', 'delete', name).catch(() => undefined)
  }
  const build = async (): Promise<void> => {
    await ip('netns', 'add', server)
    await ip('netns', 'add', client)
    const cable = ['link', 'add', 'server0', 'type', 'veth', 'peer', 'name', 'client0']
    await ip('-n', server, ...cable, 'netns', client)
    const address = (space: string, device: string, text: string): Promise<string> =>
      ip('-n', space, 'address', 'add', text, 'dev', device, 'nodad')
    await ip('-n', server, 'address', 'add', `${serverHost.ipv4}/24`, 'dev', 'server0')
    await address(server, 'server0', `${serverHost.ipv6}/16`)
    for (const each of clientsIpv4) {
      await ip('-n', client, 'address', 'add', `${each}/24`, 'dev', 'client0')
    }
    for (const each of clientsIpv6) await address(client, 'client0', `${each}/16`)
    for (const [space, device] of [
      [server, 'server0'],
      [client, 'client0'],
    ] as const) {
      await ip('-n', space, 'link', 'set', 'lo', 'up')
      await ip('-n', space, 'link', 'set', device, 'up')
    }
  }
  await build().catch(async (error: unknown) => {
    await remove()
    throw error
  })
  const onServer = ['ip', 'netns', 'exec', server]
  const rule = async (nft: string): Promise<void> => {
    const [program = '', ...args] = [...onServer, 'nft', '-f', '-']
    await run(program, args, { input: `flush ruleset\n${nft}` })
  }
  const onClient = ['ip', 'netns', 'exec', client]
  return { serverHost, clientsIpv4, clientsIpv6, onServer, onClient, rule, remove }
}
