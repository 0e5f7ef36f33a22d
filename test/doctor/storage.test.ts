// Goal: the doctor finds what a store is on, through partitions and layers, and says what is wrong with it.
// Method: mountinfo and sysfs of several machines as files; real syncs in a folder of its own.
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { checkPlaces, type PlaceFacts } from '../../src/doctor/check/storage.ts'
import { checkSync } from '../../src/doctor/check/sync-rate.ts'
import { disksOf, mountOf } from '../../src/doctor/probe/mounts.ts'
import { measureSync, readPlaces } from '../../src/doctor/probe/storage.ts'
import { fakeHost, type Tree } from './fake-tree.ts'
import { said } from './said.ts'

const gib = 1024 ** 3
const config = parseConfig([
  {
    file: '/etc/keelson/config.toml',
    text: '[global.access_policy]\n[blob_store.fs]\nroot_dir = "/srv/keelson"\n',
  },
])

const root = '21 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro\n'

/** A disk below a partition, as the kernel shows them. */
function disk(name: string, number: string, queue: Readonly<Record<string, string>>): Tree {
  const place = `/sys/devices/pci0000:00/block/${name}`
  return {
    [`/sys/dev/block/${number}`]: `→ ../../devices/pci0000:00/block/${name}/${name}1`,
    [`${place}/${name}1/partition`]: '1\n',
    ...Object.fromEntries(
      Object.entries(queue).map(([key, value]) => [`${place}/queue/${key}`, value]),
    ),
  }
}

const nvme = disk('nvme0n1', '259:2', {
  rotational: '0\n',
  scheduler: '[none] mq-deadline\n',
  write_cache: 'write back\n',
})

async function says(mountinfo: string, tree: Tree = {}): Promise<readonly string[]> {
  const host = fakeHost({
    tree: { '/proc/self/mountinfo': mountinfo, '/srv/keelson/': '', ...nvme, ...tree },
  })
  const places = await readPlaces(host, config)
  return said(
    checkPlaces(
      places.map((place) => ({
        ...place,
        space: { freeBytes: 90 * gib, totalBytes: 100 * gib, freeInodes: 900, totalInodes: 1000 },
      })),
    ),
  )
}

describe('the check of storage', () => {
  test('finds NVMe below a partition, and tells one file system once', async () => {
    assert.deepEqual(await says(root), [
      'ok file system of the blobs: /srv/keelson is on ext4, mounted at /',
      'ok mount options of the blobs: rw,relatime,errors=remount-ro',
      'ok disk of the blobs: nvme0n1 is NVMe, write cache: write back',
      'ok io scheduler of the blobs: nvme0n1 has none',
      'ok free space for the blobs: 90 GiB of 100 GiB, and 1 GiB is the reserve; 900 of 1000 inodes',
      'ok file system of the metadata: /srv/keelson/_keelson/metadata is on ext4, mounted at /',
    ])
  })

  const mounts: ReadonlyArray<readonly [line: string, finding: RegExp]> = [
    [
      'nfs4 server:/export rw',
      /^error file system of the metadata: .* is on nfs4, mounted at \/srv/,
    ],
    ['nfs4 server:/export rw', /^warning file system of the blobs: .* is on nfs4/],
    ['cifs //server/share rw', /^error file system of the metadata: .* is on cifs/],
    ['fuse.sshfs host: rw', /^error file system of the metadata: .* is on fuse\.sshfs/],
    ['overlay overlay rw', /^error file system of the metadata: .* is on overlay/],
    [
      'tmpfs tmpfs rw',
      /^warning file system of the metadata: .*a restart of the machine takes it$/,
    ],
    ['btrfs /dev/sda1 rw', /^advice file system of the metadata: .* copies each page/],
    ['zfs tank/keelson rw', /^advice file system of the metadata: /],
    ['xfs /dev/sda1 rw,noquota', /^ok mount options of the blobs: rw,noatime,noquota$/],
    ['ext4 /dev/sda1 rw,nobarrier', /^error mount options of the blobs: \/srv has nobarrier/],
    ['ext4 /dev/sda1 rw,barrier=0', /^error mount options of the blobs: \/srv has barrier=0/],
    ['ext4 /dev/sda1 ro', /^error mount options of the blobs: \/srv is read-only$/],
    ['ext4 /dev/sda1 rw,sync', /^warning mount options of the blobs: \/srv has sync/],
    ['ext4 /dev/sda1 rw,dirsync', /^warning mount options of the blobs: \/srv has dirsync/],
    ['ext4 /dev/sda1 rw,data=writeback', /^warning mount options .* has data=writeback/],
    ['ext4 /dev/sda1 rw,strictatime', /^advice mount options .* has strictatime/],
  ]
  for (const [line, finding] of mounts) {
    test(`of ${line} it says ${finding.source}`, async () => {
      const findings = await says(`${root}30 21 0:50 / /srv rw,noatime - ${line}\n`)
      assert.equal(findings.filter((each) => finding.test(each)).length, 1, findings.join('\n'))
    })
  }

  test('without durability no barrier is missed', async () => {
    const mount = mountOf('/srv', `${root}30 21 0:50 / /srv rw - ext4 /dev/sda1 rw,nobarrier\n`)
    const place: PlaceFacts = {
      ...{ role: 'blobs', path: '/srv', mount, disks: [], space: undefined },
      ...{ reserveBytes: 0, isDurable: false },
    }
    assert.match(said(checkPlaces([place]))[1] ?? '', /^ok mount options/)
  })

  test('a disk that turns is found below dm-crypt, LVM and md', async () => {
    const queue = (place: string, rotational: string, scheduler: string): Tree => ({
      [`${place}/queue/rotational`]: rotational,
      [`${place}/queue/scheduler`]: scheduler,
    })
    const virtual = '/sys/devices/virtual/block'
    const tree = {
      '/sys/dev/block/253:0': '→ ../../devices/virtual/block/dm-0',
      [`${virtual}/dm-0/slaves/md0`]: '→ ../../md0',
      [`${virtual}/md0/slaves/sda1`]: '→ ../../../../ata1/block/sda/sda1',
      [`${virtual}/md0/slaves/sdb`]: '→ ../../../../ata2/block/sdb',
      '/sys/devices/ata1/block/sda/sda1/partition': '1',
      '/sys/devices/ata1/block/sda/device/model': 'WDC WD40  \n',
      ...queue('/sys/devices/ata1/block/sda', '1', 'none'),
      ...queue('/sys/devices/ata2/block/sdb', '0', 'mq-deadline [bfq] none'),
    }
    const findings = await says(`${root}30 21 253:0 / /srv rw - ext4 /dev/mapper/crypt rw\n`, tree)
    const text = findings.join('\n')
    assert.match(text, /^warning disk of the blobs: sda \(WDC WD40\) turns$/m)
    assert.match(text, /^advice io scheduler of the blobs: sda turns and has none$/m)
    assert.match(text, /^ok disk of the blobs: sdb does not turn$/m)
    assert.match(text, /^advice io scheduler of the blobs: sdb has bfq$/m)
  })

  test('what a virtual disk says of itself is not believed', async () => {
    const vda = disk('vda', '254:1', { rotational: '1', scheduler: 'none' })
    const text = (await says('21 1 254:1 / / rw - ext4 /dev/vda1 rw\n', vda)).join('\n')
    assert.match(text, /^unknown disk of the blobs: what is behind vda is not told$/m)
    assert.doesNotMatch(text, /advice/)
  })

  test('btrfs, whose device number is its own, is found by the name of its device', async () => {
    const tree = {
      '/dev/sda1': '',
      '/sys/class/block/sda1': '→ ../../devices/ata1/block/sda/sda1',
      '/sys/devices/ata1/block/sda/sda1/partition': '1',
      '/sys/devices/ata1/block/sda/queue/rotational': '0',
    }
    const mount = mountOf('/srv', '30 21 0:50 / / rw - btrfs /dev/sda1 rw\n')
    const [found] = await disksOf(fakeHost({ tree }), mount!)
    assert.equal(found?.name, 'sda')
  })

  test('a blank in a mount point, and the last of two mounts, are understood', () => {
    const table = `${root}30 21 8:1 / /srv/my\\040store rw - ext4 /dev/a rw\n31 21 8:2 / /srv/my\\040store rw - xfs /dev/b rw\n`
    assert.equal(mountOf('/srv/my store/x', table)?.type, 'xfs')
    assert.equal(mountOf('/srv/my storehouse', table)?.mountPoint, '/')
    assert.equal(mountOf('/x', 'what\n - \n'), undefined)
  })

  test('a loop of devices, which no kernel has, ends', async () => {
    const place = '/sys/devices/virtual/block/dm-0'
    const tree = {
      '/sys/dev/block/253:0': '→ ../../devices/virtual/block/dm-0',
      [`${place}/slaves/dm-0`]: '→ ../../dm-0',
    }
    const mount = mountOf('/', '21 1 253:0 / / rw - ext4 /dev/dm-0 rw\n')
    assert.deepEqual(await disksOf(fakeHost({ tree }), mount!), [])
  })

  test('room is held against the reserve, and inodes against nothing', () => {
    const of = (space: Partial<NonNullable<PlaceFacts['space']>>): string => {
      const usual = {
        freeBytes: 90 * gib,
        totalBytes: 100 * gib,
        freeInodes: 9e5,
        totalInodes: 1e6,
      }
      const place: PlaceFacts = {
        ...{ role: 'blobs', path: '/srv', mount: undefined, disks: [] },
        ...{ space: { ...usual, ...space }, reserveBytes: 10 * gib, isDurable: true },
      }
      return said(checkPlaces([place])).at(-1) ?? ''
    }
    assert.match(of({}), /^ok free space/)
    assert.match(of({ freeBytes: 19 * gib }), /^warning free space for the blobs: 19 GiB of 100/)
    assert.match(of({ freeBytes: 9 * gib }), /^error free space/)
    assert.match(of({ freeInodes: 9999 }), /^warning free space .* 9999 of 1000000 inodes$/)
    assert.match(of({ freeInodes: 0 }), /^error free space .* 0 of 1000000 inodes$/)
    assert.match(of({ freeInodes: 0, totalInodes: 0 }), /^ok free space/)
  })

  test('what is not told is not known', async () => {
    const places = await readPlaces(fakeHost({}), config)
    const lines = said(checkPlaces(places.map((place) => ({ ...place, space: undefined }))))
    assert.deepEqual([...new Set(lines.map((line) => line.split(' ')[0]))], ['unknown'])
  })
})

describe('the check of syncs', () => {
  test('measures in the folder and leaves nothing there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keelson-sync-'))
    try {
      const facts = await measureSync(folder)
      assert.ok(typeof facts !== 'string', String(facts))
      assert.ok(facts.count > 0 && facts.medianMs > 0 && facts.slowestMs >= facts.medianMs)
      assert.deepEqual(await readdir(folder), [])
      const absent = await measureSync(join(folder, 'absent'))
      assert.equal(absent, `no file can be made in ${join(folder, 'absent')} (ENOENT)`)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('warns of a slow disk, and doubts one that is too fast', () => {
    const of = (medianMs: number): string =>
      said(checkSync({ path: '/srv', medianMs, slowestMs: 30, count: 64 })).join()
    assert.equal(of(0.2), 'ok sync of the disk: 0.20 ms for half of 64, 30.00 ms at most, in /srv')
    assert.match(of(8), /^warning sync of the disk: 8\.00 ms/)
    assert.match(of(0.005), /^ok .*so fast is memory/)
    assert.match(said(checkSync('no file')).join(), /^unknown sync of the disk: no file$/)
    assert.deepEqual(checkSync(undefined), [])
  })
})
