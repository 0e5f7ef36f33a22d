// Loaded into the product ahead of it: its wall clock, and with it the time since the boot of the host, are as
// many milliseconds ahead as the file says that KEELSON_TEST_CLOCK names, as if the time had passed. A second
// number there moves the wall clock alone, as somebody does who sets it: the product stops believing it.

import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'

const file = process.env['KEELSON_TEST_CLOCK']
const now = Date.now
const { uptime } = os

if (file !== undefined) {
  // Read each time, so that a test need not wait until the product has seen it.
  const read = (): readonly number[] => readFileSync(file, 'utf8').split(' ').map(Number)
  Date.now = () => read().reduce((sum, ms) => sum + ms, now())
  os.uptime = () => {
    const [passedMs = 0] = read()
    return uptime() + passedMs / 1000
  }
  syncBuiltinESMExports()
}
