// Goal: what a process may use is read of limits and cgroups, old and new, and held against what the
// configuration lets it use. Method: trees of files; facts by hand where only numbers differ.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkProcessor, checkRates } from '../../src/doctor/check/processor.ts'
import { checkResources, type ResourceFacts } from '../../src/doctor/check/resources.ts'
import { measureRates, readProcessor } from '../../src/doctor/probe/processor.ts'
import { readBounds } from '../../src/doctor/probe/resources.ts'
import { fakeHost, type Tree } from './fake-tree.ts'
import { said } from './said.ts'

const mib = 1024 ** 2
const limits = (hard: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units\nMax processes             1                    1                    processes\nMax open files            1024                 ${hard}              files\n`

describe('the bounds of a process', () => {
  const bounds = (tree: Tree, pid?: number) => readBounds(fakeHost({ tree }), pid)

  test('are those of the process that is asked about', async () => {
    const tree = {
      '/proc/self/limits': limits('1048576'),
      '/proc/42/limits': limits('20000'),
      '/proc/meminfo': 'MemTotal:        2097152 kB\n',
    }
    assert.equal((await bounds(tree)).openFilesMax, 1_048_576)
    const other = await bounds(tree, 42)
    assert.equal(other.openFilesMax, 20_000)
    assert.equal(other.totalBytes, 2048 * mib)
    const endless = { '/proc/self/limits': limits('unlimited') }
    assert.equal((await bounds(endless)).openFilesMax, Number.POSITIVE_INFINITY)
  })

  test('are the narrowest of all cgroups around it', async () => {
    const found = await bounds({
      '/proc/self/cgroup': '0::/system.slice/keelson.service\n',
      '/sys/fs/cgroup/system.slice/keelson.service/memory.max': 'max\n',
      '/sys/fs/cgroup/system.slice/keelson.service/cpu.max': '150000 100000\n',
      '/sys/fs/cgroup/system.slice/memory.max': `${512 * mib}\n`,
      '/sys/fs/cgroup/system.slice/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/memory.max': `${900 * mib}\n`,
    })
    assert.equal(found.limitBytes, 512 * mib)
    assert.equal(found.quotaCores, 1.5)
  })

  test('are found in a container, whose own group is mounted as the root', async () => {
    const found = await bounds({
      '/proc/self/cgroup': '0::/docker/0123\n',
      '/sys/fs/cgroup/memory.max': `${256 * mib}\n`,
    })
    assert.equal(found.limitBytes, 256 * mib)
  })

  test('are read of the old cgroups, whose largest number is none', async () => {
    const found = await bounds({
      '/proc/self/cgroup': '4:memory:/a\n1:cpu,cpuacct:/a/b\n0::/\n',
      '/sys/fs/cgroup/memory/a/memory.limit_in_bytes': '9223372036854771712\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${300 * mib}\n`,
      '/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us': '50000\n',
      '/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us': '100000\n',
      '/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/a/cpu.cfs_period_us': '100000\n',
    })
    assert.deepEqual([found.limitBytes, found.quotaCores], [300 * mib, 0.5])
  })

  test('are not known where nothing tells, or nothing that can be read', async () => {
    const unknown = { openFilesMax: undefined, totalBytes: undefined }
    const none = { ...unknown, limitBytes: undefined, quotaCores: undefined }
    assert.deepEqual(await bounds({}), none)
    const odd = { '/proc/self/cgroup': 'x\n0::relative\n', '/proc/self/limits': 'Max open files ?' }
    assert.deepEqual(await bounds({ ...odd, '/sys/fs/cgroup/cpu.max': '5 0\n' }), none)
  })
})

describe('the check of resources', () => {
  const well: ResourceFacts = {
    openFilesMax: 65_536,
    isOfServer: false,
    connectionsMax: 16_384,
    sessionsMax: 1024,
    cores: 2,
    quotaCores: undefined,
    processes: 1,
    ingestWorkers: 1,
    uvThreads: '4',
    memory: {
      totalBytes: 2048 * mib,
      limitBytes: undefined,
      budgetBytes: 64 * mib,
      cacheBytes: 64 * mib,
    },
  }
  const cases: ReadonlyArray<readonly [facts: Partial<ResourceFacts>, finding: RegExp]> = [
    [{}, /^ok open files: a process that is started here may have 65536 open$/],
    [{}, /^ok memory: the machine has 2 GiB; 1 process may use 384 MiB$/],
    [{}, /^ok processors: 2 cores, 1 process with 1 ingest worker each$/],
    [{ openFilesMax: 17_920 }, /^ok open files/],
    [
      { openFilesMax: 17_919 },
      /^warning open files: .* 17919 open, and up to 17920 may be needed$/,
    ],
    [{ openFilesMax: 1024, isOfServer: true }, /^warning open files: the server may have 1024/],
    [{ openFilesMax: 1024, connectionsMax: 0 }, /^ok open files: .*connections_max = 0/],
    [{ openFilesMax: Number.POSITIVE_INFINITY }, /^ok open files: .* any number open$/],
    [{ openFilesMax: undefined }, /^unknown open files/],
    [
      { memory: { ...well.memory, limitBytes: 256 * mib } },
      /^warning memory: the cgroup allows 256 MiB; 1 process may use 384 MiB$/,
    ],
    [
      { processes: 8, cores: 8, memory: well.memory },
      /^warning memory: the machine has 2 GiB; 8 processes may use 3 GiB$/,
    ],
    [{ memory: { ...well.memory, totalBytes: undefined } }, /^unknown memory/],
    [{ processes: 3 }, /^warning processors: server\.processes is 3 on 2 cores$/],
    [{ cores: 8 }, /^advice processors: one process on 8 cores/],
    [{ cores: 8, processes: 8 }, /^ok processors: 8 cores, 8 processes/],
    [{ ingestWorkers: 5 }, /^advice processors: 5 ingest workers on 2 cores$/],
    [{ quotaCores: 0.5 }, /^advice processors: the cgroup allows the time of 0\.5 of 2 cores/],
    [{ uvThreads: 'many' }, /^warning processors: UV_THREADPOOL_SIZE is no number/],
    [{ uvThreads: '0' }, /^warning processors: UV_THREADPOOL_SIZE/],
    [{ uvThreads: undefined }, /^ok processors/],
  ]
  for (const [facts, finding] of cases) {
    test(`of ${JSON.stringify(facts)} it says ${finding.source}`, () => {
      const findings = said(checkResources({ ...well, ...facts }))
      assert.equal(findings.filter((line) => finding.test(line)).length, 1, findings.join('\n'))
    })
  }
})

describe('the check of the processor', () => {
  const says = async (
    cpuinfo: string | undefined,
    architecture = 'x64',
    env: Readonly<Record<string, string>> = {},
  ): Promise<string> => {
    const tree: Tree = cpuinfo === undefined ? {} : { '/proc/cpuinfo': cpuinfo }
    const facts = await readProcessor(fakeHost({ tree }), { architecture, env })
    return said(checkProcessor(facts)).join()
  }

  test('knows the instructions of both architectures', async () => {
    const x86 = 'processor\t: 0\nflags\t\t: fpu aes sha_ni avx2\n'
    assert.equal(await says(x86), 'ok processor: it has AES-NI, SHA-NI, AVX2')
    const arm = 'processor\t: 0\nFeatures\t: fp asimd aes pmull sha1 sha2\n'
    assert.equal(await says(arm, 'arm64'), 'ok processor: it has AES, SHA2, PMULL')
    assert.match(await says('flags : aes avx2'), /^advice processor: it lacks SHA-NI/)
    assert.match(await says('flags : sha_ni avx2'), /^warning processor: it lacks AES-NI/)
  })

  test('counts on what all cores have', async () => {
    const mixed = 'flags : aes sha_ni avx2\n\nflags : aes avx2\n'
    assert.match(await says(mixed), /^advice processor: it lacks SHA-NI/)
  })

  test('says what it does not know, and what hides instructions', async () => {
    assert.match(await says(undefined), /^unknown processor/)
    assert.match(await says('vendor_id : riscv'), /^unknown processor/)
    assert.match(await says('flags : aes', 's390x'), /^unknown processor/)
    const env = { OPENSSL_ia32cap: '~0x200000200000000' }
    assert.match(await says('flags : aes sha_ni avx2', 'x64', env), /^warning processor: .*hides/)
  })

  test('warns of rates far below those of the reference machine', () => {
    const lines = (hashRate?: number, cipherRate?: number): readonly string[] =>
      said(checkRates({ hashRate, cipherRate }))
    assert.match(lines(1e9, 1e9).join('\n'), /^ok SHA-256: 1000 MB .*\nok AES-128-GCM: 1000 MB/)
    assert.match(lines(200e6, 300e6).join('\n'), /^warning SHA-256.*\nwarning AES-128-GCM/)
    assert.match(lines().join('\n'), /^unknown SHA-256.*\nunknown AES-128-GCM/)
  })

  test('measures this machine within its bound', () => {
    const startMs = performance.now()
    const { hashRate, cipherRate } = measureRates()
    // Twice 0.5 s, and a machine that has much else to do.
    assert.ok(performance.now() - startMs < 5000)
    assert.ok((hashRate ?? 0) > 1e6 && (cipherRate ?? 0) > 1e6)
  })
})
