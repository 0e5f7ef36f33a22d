// Checks settings of the kernel that the server relies on.
import type { Finding, KernelFacts } from './contract.ts'

const setting = 'net.ipv4.tcp_migrate_req'

export function checkKernel({ tcpMigrateReq, hasTlsOnUws }: KernelFacts): readonly Finding[] {
  // Only a change of certificates on uws replaces the listening socket.
  if (!hasTlsOnUws) return []
  if (tcpMigrateReq === '1') {
    return [{ severity: 'ok', title: setting, detail: 'it is 1', remedy: '' }]
  }
  const state =
    tcpMigrateReq === undefined ? 'this kernel does not have it' : `it is ${tcpMigrateReq}`
  const remedy =
    tcpMigrateReq === undefined
      ? 'use Linux 5.14 or later, or server.transport = "node"'
      : `sysctl -w ${setting}=1, and install systemd/sysctl.d/keelson.conf`
  const detail = `${state}: each renewal of the certificate resets clients that are just connecting`
  return [{ severity: 'warning', title: setting, detail, remedy }]
}
