// Starts children by node:cluster, which lets those of the node transport share listening sockets.

import cluster from 'node:cluster'
import type { Child, ChildEvents, Fork } from './contract.ts'
import { type FromChild, readMessage } from './messages.ts'

/** Children run the command line of this process. Call it once. */
export function createFork(): Fork {
  // Each child accepts for itself: the supervisor is on the path of no connection.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  cluster.setupPrimary({ args: process.argv.slice(2) })
  return ({ onMessage, onExit }: ChildEvents): Child => {
    const worker = cluster.fork()
    worker.on('message', (value: unknown) => {
      const message = readMessage<FromChild>(value)
      if (message !== undefined) onMessage(message)
    })
    let isOver = false
    const end = (code: number | null, signal: string | null): void => {
      if (isOver) return
      isOver = true
      onExit({ code, signal })
    }
    worker.on('exit', (code: number | null, signal: string | null) => end(code, signal))
    // Also of messages that do not reach it any more; a process that never was has no other end.
    worker.on('error', () => {
      if (worker.process.pid === undefined) end(null, null)
    })
    return {
      pid: worker.process.pid ?? 0,
      send: (message) => {
        if (worker.isConnected()) worker.process.send(message, undefined, {}, () => {})
      },
      kill: () => void worker.process.kill('SIGKILL'),
    }
  }
}
