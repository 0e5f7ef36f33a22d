// Answers for a listener whose certificate changes all the time while clients come and go, as a
// program, since it runs in a network namespace. Prints JSON.
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { TlsMaterial } from '../../src/server/tls/contract.ts'
import type { Listener, Transport } from '../../src/server/transport/exchange.ts'
import { listenNode } from '../../src/server/transport/node/listen.ts'
import { listenUws } from '../../src/server/transport/uws/listen.ts'
import { materialOf } from '../contract/transport-material.ts'
import { defaultOptions, plainHeaders, requestHead, whole } from '../contract/transport-scene.ts'
import { PatternSource } from '../support/pattern-source.ts'
import { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'

export interface SwapOrder {
  readonly transport: 'uws' | 'node'
  readonly swaps: number
  readonly certificates: readonly { readonly bundleFile: string; readonly keyFile: string }[]
}

export interface Swapped {
  readonly handshakes: number
  /** Handshakes and first requests that went wrong, by what was said. */
  readonly failures: readonly string[]
  /** Replies on the one connection that is older than all swaps. */
  readonly served: number
  /** Bytes of the transfer that began before the first swap. */
  readonly transferred: number
  /** Serial of the certificate that a client sees at the end. */
  readonly lastSerial: string
  /** More descriptors than before the first swap. */
  readonly descriptorsLeft: number
  /** Growth of the process with each of as many swaps again, without any load. */
  readonly bytesPerSwap: number
}

interface Load {
  readonly port: number
  readonly shared: Int32Array
}

/** What main thread and load tell each other. */
const place = { handshakes: 0, stop: 1 } as const
const lanes = 6
const handshakesPerSwap = 3
const transferBytes = 64 * 1024 * 1024
const transports: Readonly<Record<SwapOrder['transport'], Transport>> = {
  uws: listenUws,
  node: listenNode,
}

async function run(order: SwapOrder): Promise<Swapped> {
  const materials = order.certificates.map(({ bundleFile, keyFile }) =>
    materialOf({
      bundlePem: readFileSync(bundleFile, 'utf8'),
      keyPem: readFileSync(keyFile, 'utf8'),
    }),
  )
  const options = defaultOptions((exchange) => {
    const source = new PatternSource(transferBytes)
    const stream = { kind: 'stream', status: 200, headers: plainHeaders, source } as const
    exchange.send(exchange.path === '/transfer' ? stream : whole('ok'))
  })
  const listener = await transports[order.transport]({ ...options, tls: materials[0] })
  const { port } = listener.local
  const shared = new Int32Array(new SharedArrayBuffer(8))
  const own = { workerData: { port, shared } satisfies Load }
  const worker = new Worker(fileURLToPath(import.meta.url), own)
  const result = once(worker, 'message')
  const [transfer, veteran] = await Promise.all([open(port), open(port)])
  transfer.write(requestHead('GET', '/transfer'))
  await until('the transfer is under way', () => transfer.pendingBytes > 0)
  transfer.socket.pause()
  const descriptors = countDescriptors()
  const served = await swapAll(listener, order, materials, shared, veteran)
  Atomics.store(shared, place.stop, 1)
  const [failures] = (await result) as [readonly string[]]
  transfer.socket.resume()
  const transferred = (await transfer.reply()).body.length
  const lastSerial = await serialSeen(port)
  await until('all others have gone', () => options.counts.connections <= 2)
  const bytesPerSwap = await growth(listener, order, materials)
  const descriptorsLeft = countDescriptors() - descriptors
  transfer.close()
  veteran.close()
  listener.close()
  const handshakes = Atomics.load(shared, place.handshakes)
  return {
    ...{ handshakes, failures, served, transferred, lastSerial, descriptorsLeft, bytesPerSwap },
  }
}

async function swapAll(
  listener: Listener,
  { swaps }: SwapOrder,
  materials: readonly TlsMaterial[],
  shared: Int32Array,
  veteran: RawConnection,
): Promise<number> {
  let served = 0
  for (let swap = 1; swap <= swaps; swap++) {
    const enough = Atomics.load(shared, place.handshakes) + handshakesPerSwap
    const material = materials[swap % materials.length]
    if (material !== undefined) await listener.renewTls(material)
    veteran.write(requestHead('GET', '/'))
    if ((await veteran.reply()).status === 200) served += 1
    await until('clients come', () => Atomics.load(shared, place.handshakes) >= enough)
  }
  return served
}

async function growth(
  listener: Listener,
  { swaps }: SwapOrder,
  materials: readonly TlsMaterial[],
): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const resident = (): number => {
    collect()
    return process.memoryUsage.rss()
  }
  const before = resident()
  for (let swap = 1; swap <= swaps; swap++) {
    const material = materials[swap % materials.length]
    if (material !== undefined) await listener.renewTls(material)
    // Callbacks of closed sockets come in a later turn.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return (resident() - before) / swaps
}

function open(port: number): Promise<RawConnection> {
  return RawConnection.open({ port, tls: {} })
}

function countDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

async function serialSeen(port: number): Promise<string> {
  const socket = connect({ port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return serialNumber
}

/** Clients that come, ask once and go, until they are told to stop. */
async function load({ port, shared }: Load): Promise<readonly string[]> {
  const failures: string[] = []
  const lane = async (): Promise<void> => {
    while (Atomics.load(shared, place.stop) === 0) {
      await visit(port).then(
        () => Atomics.add(shared, place.handshakes, 1),
        (error: unknown) => failures.push(String(error)),
      )
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return failures
}

function visit(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    let reply = ''
    socket.once('secureConnect', () => socket.write(requestHead('GET', '/')))
    socket.setEncoding('latin1')
    socket.on('data', (text) => {
      reply += text
      if (reply.endsWith('ok')) socket.end()
    })
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')))
    socket.once('error', reject)
    socket.once('close', () => {
      if (reply.startsWith('HTTP/1.1 200 ') && reply.endsWith('ok')) resolve()
      else reject(new Error(`closed after ${JSON.stringify(reply)}`))
    })
  })
}

if (isMainThread) {
  const order = JSON.parse(process.argv[2] ?? '{}') as SwapOrder
  process.stdout.write(JSON.stringify(await run(order)))
} else {
  parentPort?.postMessage(await load(workerData as Load))
}
