// Whether a host is this very machine, so that what is said to it crosses no network.

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\]|::1)$/

/** `hostname`: as a URL has it, or an address. Names are not looked up. */
export function isLoopbackHost(hostname: string): boolean {
  return loopback.test(hostname)
}
