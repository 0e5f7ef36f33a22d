// What does a limit on requests cost a manifest GET: none, one of this host, one that hosts share by Redis?
//
// node dist/bench/micro/shared-limits.js [rounds] [seconds]
// Three servers, and a redis-server beside the load, driven by wrk one after the other in each round: by one
// user with a limit per identity, and by 1,000 addresses out of X-Forwarded-For with one per address. No
// limit is ever reached. Prints one JSON line for each: requests a second, medians, and the medians of the
// rounds' ratios.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RedisServer } from '../../test/support/redis.ts'
import { run } from '../../test/support/run.ts'
import { type Server, startServer } from '../../test/support/server.ts'
import { hashPassword } from '../../workers/credentials.ts'
import { choosePlacement, moveToLoadCore } from '../machine.ts'
import { median } from '../statistics.ts'

const rounds = Number(process.argv[2] ?? 7)
const seconds = Number(process.argv[3] ?? 3)
const placement = choosePlacement()
moveToLoadCore(placement)
const { serverCores } = placement
const folder = mkdtempSync(join(tmpdir(), 'keelson-shared-limits-'))
const redis = await RedisServer.start({ dir: folder })

const password = 'tuesday-fjord-lemon'
const hash = JSON.stringify(hashPassword(password))
const credential = Buffer.from(`alice:${password}`).toString('base64')
const crowds = {
  identity: `return function() return wrk.format(nil, nil, { Authorization = 'Basic ${credential}' }) end`,
  address: `local n = 0
return function()
  n = (n + 1) % 1000
  local address = string.format('10.0.%d.%d', math.floor(n / 250), n % 250 + 1)
  return wrk.format(nil, nil, { ['X-Forwarded-For'] = address })
end`,
} as const

function start(limit: string): Promise<Server> {
  return startServer({
    base: `
[server]
port = 0
trusted_proxies = ["127.0.0.1"]
[blob_store.memory]
[metadata_store.memory]
[global.access_policy]
default = "allow"
[auth.identity.alice]
username = "alice"
password = ${hash}
${limit}`,
    ...(serverCores === undefined ? {} : { wrap: ['taskset', '-c', serverCores] }),
  })
}

const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: [],
})
async function pushTo({ url }: Server): Promise<void> {
  const headers = { 'content-type': 'application/vnd.oci.image.index.v1+json' }
  const put = { method: 'PUT', body: manifest, headers }
  const { status } = await fetch(`${url}/v2/a/manifests/v1`, put)
  if (status !== 201) throw new Error(`the manifest was answered ${status}`)
}

async function rate({ url }: Server, script: string): Promise<number> {
  const args = ['-t1', '-c32', `-d${seconds}s`, '-s', script, `${url}/v2/a/manifests/v1`]
  const said = await run('wrk', args)
  const figure = /^Requests\/sec:\s+([\d.]+)$/m.exec(said)?.[1]
  if (figure === undefined || said.includes('Non-2xx')) throw new Error(said)
  return Number(figure)
}

const order = ['none', 'local', 'shared'] as const
for (const per of ['identity', 'address'] as const) {
  const script = join(folder, `${per}.lua`)
  writeFileSync(script, `request = (function()\n${crowds[per]}\nend)()\n`)
  const limit = `[limits.rate.pulls]\nper = "${per}"\nrequests = 100000000\nperiod = "1m"\n`
  const key = '0123456789abcdef'.repeat(2)
  const sharing = `shared = true\n[redis]\nurl = "${redis.url}"\nhash_key = "${key}"\n`
  const servers = {
    none: await start(''),
    local: await start(limit),
    shared: await start(limit + sharing),
  }
  await Promise.all(Object.values(servers).map(pushTo))
  const results: Record<keyof typeof servers, number>[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const result = { none: 0, local: 0, shared: 0 }
    for (const name of round % 2 === 0 ? order : order.toReversed()) {
      result[name] = await rate(servers[name], script)
    }
    // The first round warms up.
    if (round > 0) results.push(result)
  }
  const figures = {
    per,
    none: Math.round(median(results.map(({ none }) => none))),
    local: Math.round(median(results.map(({ local }) => local))),
    shared: Math.round(median(results.map((each) => each.shared))),
    'local ÷ none': median(results.map(({ local, none }) => local / none)).toFixed(3),
    'shared ÷ local': median(results.map((each) => each.shared / each.local)).toFixed(3),
    'shared ÷ none': median(results.map((each) => each.shared / each.none)).toFixed(3),
  }
  process.stdout.write(`${JSON.stringify(figures)}\n`)
  await Promise.all(Object.values(servers).map((server) => server.stop()))
}
await redis.stop()
rmSync(folder, { recursive: true, force: true })
