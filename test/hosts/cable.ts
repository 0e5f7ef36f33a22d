// Answers for the network of a host in tests: a namespace with a cable to that of the test. What the host calls
// 127.0.0.1 is there, for the ports of what all hosts share: servers that speak in clear only to themselves.

import { run } from '../support/run.ts'

export interface Cable {
  /** Of the host, for those at the other end. */
  readonly address: string
  /** To be put before a command that shall run on that host. */
  readonly onHost: readonly string[]
  /** From now on packets to and from this port are lost, and neither end hears of it. */
  cut(port: number): Promise<void>
  mend(port: number): Promise<void>
}

const noCable = (): Promise<never> => Promise.reject(new Error('this host has no cable'))

/** For a host on the network of the test, which must be fast and is never cut. */
export const loopback: Cable = { address: '127.0.0.1', onHost: [], cut: noCable, mend: noCable }

/** `index`: from 1 to 250, of no other cable. `ports`: of what listens on loopback at the near end. */
export async function layCable(
  name: string,
  index: number,
  ports: readonly number[],
): Promise<Cable> {
  const near = `198.18.${index}.1`
  const address = `198.18.${index}.2`
  const device = `cable${index}`
  const onHost = ['ip', 'netns', 'exec', name]
  const ip = (...args: readonly string[]): Promise<string> => run('ip', args)
  const nft = async (where: readonly string[], rules: string): Promise<void> => {
    const [program = '', ...args] = [...where, 'nft', '-f', '-']
    await run(program, args, { input: rules })
  }
  await ip('netns', 'add', name)
  await ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
  await ip('address', 'add', `${near}/30`, 'dev', device)
  await ip('-n', name, 'address', 'add', `${address}/30`, 'dev', 'eth0')
  await ip('link', 'set', device, 'up')
  for (const each of ['lo', 'eth0']) await ip('-n', name, 'link', 'set', each, 'up')
  // Without it what comes by a cable for 127.0.0.1 is thrown away.
  await run('sysctl', ['-qw', `net.ipv4.conf.${device}.route_localnet=1`])
  const [program = '', ...args] = [...onHost, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1']
  await run(program, args)
  const shared = `{ ${ports.join(', ')} }`
  await nft([], nearRules(device, near, shared))
  await nft(onHost, farRules(near, shared))
  const each = async (verb: 'add' | 'delete', port: number): Promise<void> => {
    await nft([], `${verb} element ip ${device} lost { ${port} }\n`)
    await nft(onHost, `${verb} element ip far lost { ${port} }\n`)
  }
  return {
    address,
    onHost,
    cut: (port) => each('add', port),
    mend: (port) => each('delete', port),
  }
}

// Where packets come in: a drop where they go out would be told to their sender.
const nearRules = (device: string, near: string, ports: string): string => `
table ip ${device} {
  set lost {
    type inet_service
  }
  chain losses {
    type filter hook prerouting priority raw
    iifname "${device}" tcp dport @lost drop
  }
  chain to_shared {
    type nat hook prerouting priority dstnat
    ip daddr ${near} tcp dport ${ports} dnat to 127.0.0.1
  }
  chain as_from_here {
    type nat hook input priority 100
    iifname "${device}" ip daddr 127.0.0.1 snat to 127.0.0.1
  }
}
`

const farRules = (near: string, ports: string): string => `
table ip far {
  set lost {
    type inet_service
  }
  chain losses {
    type filter hook prerouting priority raw
    iifname "eth0" tcp sport @lost drop
  }
  chain to_near {
    type nat hook output priority -100
    ip daddr 127.0.0.1 tcp dport ${ports} dnat to ${near}
  }
  chain as_from_eth0 {
    type nat hook postrouting priority srcnat
    oifname "eth0" masquerade
  }
}
`
