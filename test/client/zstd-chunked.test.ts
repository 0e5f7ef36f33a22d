// Goal: podman's partial pulls get the parts they ask for, several ranges in one request included.
// Method: two zstd:chunked images that share some files, pulled one after the other through a tap.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { seededBytes } from '../support/images.ts'
import { attempt, run } from '../support/run.ts'
import { containersEnv, openScene, type Scene } from '../support/scene.ts'
import { startTap, type Tap } from '../support/tap.ts'
import { tar } from '../support/tar.ts'
import { isEveryToolRequired, needsRootAnd } from '../support/tools.ts'

interface PartialScene extends Scene {
  readonly tap: Tap
  podman(...args: readonly string[]): Promise<string>
}

const fileBytes = 1_000_000

// Other bytes each round: of a layer that it pushed before, podman forgets which parts it has.
const contentOf = (file: string, round: number): Buffer => seededBytes(`${file}${round}`, fileBytes)

async function openPartial(t: TestContext): Promise<PartialScene | undefined> {
  const scene = await openScene(t)
  const { dir, server } = scene
  const storage = join(dir, 'storage.conf')
  // Only the overlay driver pulls parts, and only where it is told to.
  const settings = `[storage]
driver = "overlay"
graphroot = "${dir}/graph"
runroot = "${dir}/run"
[storage.options]
pull_options = { enable_partial_images = "true", use_hard_links = "false", ostree_repos = "" }
`
  await writeFile(storage, settings)
  const env = { ...(await containersEnv(dir)), CONTAINERS_STORAGE_CONF: storage }
  const podman = (...args: readonly string[]): Promise<string> => run('podman', args, { env })
  const { code, stderr } = await attempt('podman', ['info'], { env })
  if (code !== 0) {
    if (isEveryToolRequired) throw new Error(`podman has no overlay storage here\n${stderr}`)
    t.skip('lacks overlay mounts')
    return undefined
  }
  scene.onEnd(async () => {
    await podman('image', 'umount', '--all')
    await podman('rmi', '--all', '--force')
    // The driver leaves its own folder mounted.
    await attempt('umount', [join(dir, 'graph', 'overlay')])
  })
  const tap = await startTap(server.port)
  scene.onEnd(() => tap.close())
  return { ...scene, tap, podman }
}

/** An image of one layer with these files, pushed so that each can be fetched by itself. */
async function pushFiles(
  { dir, tap, podman }: PartialScene,
  name: string,
  files: readonly string[],
  round: number,
): Promise<string> {
  const archive = join(dir, `${name}.tar`)
  const entries = files.map((file) => ({ name: file, bytes: contentOf(file, round) }))
  await writeFile(archive, tar(entries))
  const reference = `${tap.host}/zstd/${name}:v1`
  await podman('import', archive, reference)
  const format = ['--format', 'oci', '--compression-format', 'zstd:chunked']
  await podman('push', '--tls-verify=false', ...format, reference)
  await podman('rmi', '--all', '--force')
  return reference
}

async function assertFiles(
  { podman }: PartialScene,
  reference: string,
  files: readonly string[],
  round: number,
): Promise<void> {
  const root = await podman('image', 'mount', reference)
  for (const file of files) {
    assert.ok((await readFile(join(root, file))).equals(contentOf(file, round)), file)
  }
}

const all = ['a', 'b', 'c', 'd', 'e']
const known = ['b', 'd']

/** What podman asked for by several ranges, of an image that shares files with one that it has. */
async function pullParts(scene: PartialScene, round: number): Promise<Tap['seen']> {
  const { tap, podman } = scene
  const first = await pushFiles(scene, `first-${round}`, known, round)
  const second = await pushFiles(scene, `second-${round}`, all, round)
  await podman('pull', '--tls-verify=false', first)
  const before = tap.seen.length
  await podman('pull', '--tls-verify=false', second)
  await assertFiles(scene, first, known, round)
  await assertFiles(scene, second, all, round)
  return tap.seen.slice(before).filter(({ range }) => range?.includes(','))
}

test(
  'podman pulls the missing parts of a zstd:chunked layer',
  needsRootAnd('podman'),
  async (t) => {
    const scene = await openPartial(t)
    if (scene === undefined) return
    let asked: Tap['seen'] = []
    // Now and then podman takes a layer whole, of its own accord.
    for (let round = 1; round <= 3 && asked.length === 0; round++) {
      asked = await pullParts(scene, round)
      await scene.podman('image', 'umount', '--all')
    }
    assert.equal(asked.length, 1, JSON.stringify(scene.tap.seen))
    // At least the three missing files; whether podman finds the known ones again is its own affair.
    assert.ok(asked[0]!.range!.split(',').length >= 3, asked[0]!.range)
    assert.equal(asked[0]!.status, 206)
    assert.match(asked[0]!.contentType!, /^multipart\/byteranges; boundary=/)
  },
)
