// Goal: what the pages tell people to type works. Method: all commands of a page as one script, from top to
// bottom, on a host of its own where addresses, names, /etc and /var/lib are as the page has them.
import assert from 'node:assert/strict'
import { chmod, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startDockerd } from '../support/engines.ts'
import { needsPrivateHostAnd, openPrivateHost } from '../support/private-host.ts'
import { containersEnv } from '../support/scene.ts'
import { productCommand, projectRoot } from '../support/server.ts'
import { readBlocks } from './page-blocks.ts'
import { type PageScene, pageScript } from './page-script.ts'
import { scenes } from './scenes.ts'

// Not copied into a clone: what it would make itself, what is large, what is no part of it.
const notCloned = ['.git', 'node_modules', 'data', 'coverage', '.cache']

/** A copy of the project as it is now, with the packages of this one. */
async function clone(folder: string): Promise<void> {
  await mkdir(folder)
  for (const name of await readdir(projectRoot)) {
    if (notCloned.includes(name)) continue
    const options = { recursive: true, preserveTimestamps: true }
    await cp(join(projectRoot, name), join(folder, name), options)
  }
  await symlink(join(projectRoot, 'node_modules'), join(folder, 'node_modules'))
}

/** A folder with `keelson` on the path. */
async function installProduct(dir: string): Promise<string> {
  const bin = join(dir, 'bin')
  await mkdir(bin)
  const words = productCommand().map((word) => `'${word}'`)
  await writeFile(join(bin, 'keelson'), `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`)
  await chmod(join(bin, 'keelson'), 0o755)
  return bin
}

async function runPage(t: TestContext, page: string, scene: PageScene): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'keel-'))
  const ends: (() => Promise<unknown>)[] = []
  t.after(async () => {
    for (const end of ends.reverse()) await end()
    await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  })
  const host = await openPrivateHost(dir, ['registry.example.com'])
  ends.push(() => host.close())
  for (const folder of ['/var/lib', '/var/log']) {
    await host.run('mount', ['-t', 'tmpfs', 'tmpfs', folder])
  }
  const bin = await installProduct(dir)
  const work = join(dir, 'work')
  await (scene.folder === 'clone' ? clone(work) : mkdir(work))
  const base = await containersEnv(dir)
  const env = {
    ...base,
    PATH: `${bin}:${base['PATH']}`,
    DOCKER_CONFIG: dir,
    DOCKER_HOST: `unix://${join(dir, 'docker.sock')}`,
  }
  if (scene.docker) await startDockerd({ dir, onEnd: (end) => ends.push(end) }, { host })
  const script = pageScript(readBlocks(page), scene)
  const { code, stderr } = await host.attempt('bash', ['-c', script], { cwd: work, env })
  // The trace ends with the page's line that failed.
  assert.equal(code, 0, `${page} ended with ${code}\n${stderr.slice(-3000)}`)
}

for (const [page, scene] of Object.entries(scenes)) {
  test(`the commands of ${page} work`, needsPrivateHostAnd(...scene.tools), async (t) => {
    await runPage(t, page, scene)
  })
}
