// Goal: settings of the kernel are read where they are, and judged by who needs them. Method: a table of
// trees of files, each with what has to be said.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkKernel, type KernelFacts } from '../../src/doctor/check/kernel.ts'
import { checkPaging } from '../../src/doctor/check/paging.ts'
import { readKernel, readPaging } from '../../src/doctor/probe/kernel.ts'
import { fakeHost, type Tree } from './fake-tree.ts'
import { said } from './said.ts'

const sys = '/proc/sys'
const well: Tree = {
  [`${sys}/kernel/osrelease`]: '6.1.0-13-amd64\n',
  [`${sys}/net/core/somaxconn`]: '4096\n',
  [`${sys}/net/ipv4/tcp_migrate_req`]: '1\n',
  [`${sys}/net/ipv4/tcp_tw_reuse`]: '2\n',
  [`${sys}/net/ipv4/tcp_rmem`]: '4096\t131072\t6291456\n',
  [`${sys}/net/ipv4/tcp_wmem`]: '4096\t16384\t4194304\n',
}

type Needs = Pick<KernelFacts, 'hasTlsOnUws' | 'asksOthers' | 'listensOnTcp' | 'connectionsMax'>
const needsAll: Needs = {
  hasTlsOnUws: true,
  asksOthers: true,
  listensOnTcp: true,
  connectionsMax: 16_384,
}

async function kernelSays(tree: Tree, needs: Partial<Needs> = {}): Promise<readonly string[]> {
  const settings = await readKernel(fakeHost({ tree: { ...well, ...tree } }))
  return said(checkKernel({ ...settings, ...needsAll, ...needs }))
}

describe('the check of the kernel', () => {
  test('is content with a machine that is set up', async () => {
    assert.deepEqual(await kernelSays({}), [
      'ok kernel: Linux 6.1.0-13-amd64',
      'ok net.core.somaxconn: it is 4096',
      'ok TCP buffers: they grow to 6 MiB for what comes in, 4 MiB for what goes out',
      'ok net.ipv4.tcp_migrate_req: it is 1',
      'ok net.ipv4.tcp_tw_reuse: it is 2',
    ])
  })

  test('asks for nothing that the configuration does not need', async () => {
    const needs = { hasTlsOnUws: false, asksOthers: false, listensOnTcp: false }
    assert.deepEqual(await kernelSays({}, needs), ['ok kernel: Linux 6.1.0-13-amd64'])
  })

  const cases: ReadonlyArray<readonly [place: string, content: string, finding: RegExp]> = [
    ['kernel/osrelease', '5.4.0-generic', /^ok kernel: Linux 5\.4/],
    ['kernel/osrelease', '5.3.18-lts', /^warning kernel: Linux 5\.3\.18-lts is older than 5\.4$/],
    ['kernel/osrelease', '4.19.0', /^warning kernel: /],
    ['kernel/osrelease', '10.0.0', /^ok kernel: /],
    ['kernel/osrelease', 'whatever', /^unknown kernel: /],
    ['net/core/somaxconn', '128', /^warning net\.core\.somaxconn: it is 128, below 1024$/],
    ['net/core/somaxconn', '1024', /^ok net\.core\.somaxconn/],
    ['net/core/somaxconn', 'many', /^unknown net\.core\.somaxconn/],
    ['net/ipv4/tcp_migrate_req', '0', /^warning net\.ipv4\.tcp_migrate_req: it is 0$/],
    ['net/ipv4/tcp_tw_reuse', '0', /^advice net\.ipv4\.tcp_tw_reuse: it is 0$/],
    ['net/ipv4/tcp_tw_reuse', '1', /^ok net\.ipv4\.tcp_tw_reuse/],
    ['net/ipv4/tcp_rmem', '4096 131072 212992', /^advice TCP buffers: they grow to 208 KiB/],
    ['net/ipv4/tcp_wmem', '4096', /^unknown TCP buffers/],
  ]
  for (const [place, content, finding] of cases) {
    test(`of ${place} with "${content}" it says ${finding.source}`, async () => {
      const findings = await kernelSays({ [`${sys}/${place}`]: content })
      assert.equal(findings.filter((line) => finding.test(line)).length, 1, findings.join('\n'))
    })
  }

  test('a kernel without tcp_migrate_req is told apart from one that has it off', async () => {
    const settings = await readKernel(fakeHost({}))
    const [finding] = said(checkKernel({ ...settings, ...needsAll })).filter((line) =>
      line.includes('tcp_migrate_req'),
    )
    assert.match(finding ?? '', /^warning .*does not have it, or does not tell$/)
  })

  test('minds connection tracking where there is any', async () => {
    const tracking = (max: string, count: string): Tree => ({
      [`${sys}/net/netfilter/nf_conntrack_max`]: max,
      [`${sys}/net/netfilter/nf_conntrack_count`]: count,
    })
    const last = async (tree: Tree): Promise<string> => (await kernelSays(tree)).at(-1) ?? ''
    assert.match(await last(tracking('262144', '10')), /^ok connection tracking: 10 of 262144/)
    assert.match(await last(tracking('262144', '209716')), /^warning connection tracking: 209716/)
    assert.match(await last(tracking('65535', '1')), /^advice connection tracking: 65535 entries/)
    assert.match(await last(tracking('odd', '1')), /tcp_tw_reuse/)
  })
})

describe('the check of paging', () => {
  const memory: Tree = {
    [`${sys}/vm/swappiness`]: '10',
    [`${sys}/vm/dirty_background_ratio`]: '10',
    [`${sys}/vm/dirty_background_bytes`]: '0',
    '/sys/kernel/mm/transparent_hugepage/enabled': 'always [madvise] never\n',
    '/proc/swaps': 'Filename Type Size Used Priority\n/swapfile file 1 0 -2\n',
    '/proc/meminfo': 'MemTotal:       8000000 kB\nMemAvailable:   4000000 kB\n',
  }
  const says = async (tree: Tree): Promise<readonly string[]> =>
    said(checkPaging(await readPaging(fakeHost({ tree: { ...memory, ...tree } }))))

  test('is content with a machine that is set up', async () => {
    assert.deepEqual(await says({}), [
      'ok vm.swappiness: it is 10',
      'ok transparent huge pages: madvise',
      'ok vm.dirty_background: the kernel begins to write when 391 MiB wait',
    ])
  })

  test('advises on what is usual and not good for a server', async () => {
    const findings = await says({
      [`${sys}/vm/swappiness`]: '60',
      '/sys/kernel/mm/transparent_hugepage/enabled': '[always] madvise never\n',
      '/proc/meminfo': 'MemAvailable:   260000000 kB\n',
    })
    assert.deepEqual(findings, [
      'advice vm.swappiness: it is 60',
      'advice transparent huge pages: always',
      'advice vm.dirty_background: the kernel begins to write when 24.8 GiB wait',
    ])
  })

  test('swappiness means nothing without swap, and the ratio nothing beside bytes', async () => {
    const findings = await says({
      [`${sys}/vm/swappiness`]: '60',
      [`${sys}/vm/dirty_background_ratio`]: '0',
      [`${sys}/vm/dirty_background_bytes`]: '268435456',
      '/proc/swaps': 'Filename Type Size Used Priority\n',
    })
    assert.equal(findings[0], 'ok vm.swappiness: there is no swap')
    assert.match(findings[2] ?? '', /256 MiB wait$/)
  })

  test('what is not told is not known', async () => {
    const findings = said(checkPaging(await readPaging(fakeHost({}))))
    assert.deepEqual(
      findings.map((line) => line.split(' ')[0]),
      ['unknown', 'unknown', 'unknown'],
    )
  })
})
