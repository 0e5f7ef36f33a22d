// Goal: import and export do on the command line what their help says, with a server and without one. Method:
// the commands on a store of their own, and a real server on it.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parseImport } from '../../src/maintain/transfer/import-input.ts'
import { fileImporters } from '../../src/maintain/transfer/import-job.ts'
import { type Ran, runCommand } from '../support/command-line.ts'
import { DistributionTree } from '../support/distribution-tree.ts'
import { getManifest } from '../support/served.ts'
import { startServer } from '../support/server.ts'

class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'keelson-import-'))

  constructor() {
    after(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  at(name: string): string {
    return join(this.folder, name)
  }

  get config(): string {
    return `
[server]
port = 0
[admin]
socket = ${JSON.stringify(this.at('admin.sock'))}
[blob_store.fs]
root_dir = ${JSON.stringify(this.at('data'))}
[global.access_policy]
default = "allow"
`
  }

  run(...args: readonly string[]): Promise<Ran> {
    writeFileSync(this.at('config.toml'), this.config)
    return runCommand(['-c', this.at('config.toml'), ...args], this.folder)
  }
}

test('a running server imports and exports, and what it says is what there is', async () => {
  const site = new Site()
  const tree = new DistributionTree(site.at('old/docker/registry/v2'))
  const { digest } = await tree.addImage('team/app', 'image')
  await tree.tag('team/app', 'v1', digest)
  const server = await startServer({ base: site.config })
  try {
    const planned = await site.run('import', '--from', 'distribution', 'old', '--dry-run')
    assert.equal(planned.code, 0, planned.err)
    assert.match(planned.out, /Dry run: nothing was changed/)
    const imported = await site.run('import', '--from', 'distribution', 'old')
    assert.equal(imported.code, 0, imported.err)
    assert.match(imported.out, /^1 repository: 1 tag new/m)
    assert.equal((await getManifest(server.url, 'team/app', 'v1')).digest, digest)
    const exported = await site.run(
      ...['export', '--to', 'oci-layout', 'out', 'team/app:v1', '--json'],
    )
    assert.equal(exported.code, 0, exported.err)
    assert.match(exported.out, /"images": ?1/)
    const index = JSON.parse(readFileSync(site.at('out/index.json'), 'utf8')) as {
      readonly manifests: readonly { readonly digest: string }[]
    }
    assert.equal(index.manifests[0]?.digest, digest)
    const lacking = await site.run('export', '--to', 'oci-layout', 'out', 'team/none')
    assert.equal(lacking.code, 1)
    assert.match(lacking.out + lacking.err, /there is none/)
  } finally {
    await server.stop()
  }
})

test('without a server the store is opened for it, and the server serves it afterwards', async () => {
  const site = new Site()
  const first = await startServer({ base: site.config })
  await first.stop()
  const tree = new DistributionTree(site.at('old/docker/registry/v2'))
  const { digest } = await tree.addImage('app', 'image')
  await tree.tag('app', 'v1', digest)
  const ran = await site.run('import', '--from', 'distribution', 'old', '--repository', 'from/old')
  assert.equal(ran.code, 0, ran.err)
  const server = await startServer({ base: site.config })
  try {
    assert.equal((await getManifest(server.url, 'from/old/app', 'v1')).digest, digest)
  } finally {
    await server.stop()
  }
})

test('what import and export do not understand they refuse before anything is done', async () => {
  const site = new Site()
  const refusals: readonly (readonly [RegExp, ...string[]])[] = [
    [/needs --from/, 'import', 'old'],
    [/needs a SOURCE/, 'import', '--from', 'distribution'],
    [/expected a size/, 'import', '--from', 'distribution', 'old', '--rate', 'fast'],
    [/say --yes/, 'import', '--take-over'],
    [/takes nothing but/, 'import', '--take-over', '--yes', 'old'],
    [/needs --to/, 'export', 'out', 'app'],
    [/needs an IMAGE/, 'export', '--to', 'oci-layout', 'out'],
  ]
  for (const [message, ...args] of refusals) {
    const { code, err } = await site.run(...args)
    assert.match(err, message)
    assert.equal(code, 2)
  }
})

test('options that a kind of source does not know are refused', async () => {
  for (const [from, option] of [
    ['distribution', 'only'],
    ['oci-layout', 'blobs'],
    ['angos', 'only'],
  ] as const) {
    const input = { from, source: '/old', repository: 'app', options: { [option]: '/x' } }
    const error = `an import from ${from} takes no ${option}`
    assert.deepEqual(parseImport(input, fileImporters), { error })
  }
})
