// What the supervising process and its children tell each other.

import type { Source } from '../config/source.ts'
import type { TicketSeed } from '../server/tls/ticket-keys.ts'

/** A listening socket of a child. */
export interface ServedPlace {
  readonly address: string
  readonly port: number
  readonly transport: string
  readonly tls: boolean
}

/** What a child is to be. */
export interface Welcome {
  readonly kind: 'welcome'
  /** From 1 on. */
  readonly index: number
  readonly count: number
  /** Of the configuration that was accepted last; the files may say something else by now. */
  readonly sources: readonly Source[]
  /**
   * Of the configuration that the server was started with, where another one was accepted since: what only a restart
   * changes is in force as it was there.
   */
  readonly first: readonly Source[] | undefined
  /** Of each listener in the order of the configuration, 0 for a unix socket. */
  readonly ports: readonly number[]
  /** As it was when the supervisor was started. */
  readonly umask: number
  readonly isDebug: boolean
  /** Undefined without TLS. */
  readonly ticketSeed: TicketSeed | undefined
}

/** A request of the admin interface. */
export interface Question {
  readonly path: string
  readonly query: string
  /** What was posted; undefined for a GET. */
  readonly input?: { readonly value: unknown }
}

/** An answer of the admin interface. */
export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

/** How a child took a configuration. */
export type ReloadResult =
  | { readonly ok: true; readonly needsRestart: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] }

/** What has a number is answered with the same one. */
export type Order =
  | { readonly kind: 'ask'; readonly question: Question }
  /** Put this configuration in force. Without sources: that of the files, which cannot be read. */
  | { readonly kind: 'reload'; readonly sources: readonly Source[] | undefined }
  /** Open files anew that may have been replaced. */
  | { readonly kind: 'reopen' }
  /** Another process has changed what this one remembers of the store. */
  | { readonly kind: 'refresh' }
  | { readonly kind: 'ping' }

/** An answer to an order or to a question, with its number. */
export interface Reply {
  readonly kind: 'reply'
  readonly id: number
  readonly value: unknown
}

export type ToChild =
  | Welcome
  | Reply
  | { readonly kind: 'order'; readonly id: number; readonly order: Order }
  | { readonly kind: 'debug'; readonly isDebug: boolean }
  | { readonly kind: 'stop' }

export type FromChild =
  | Reply
  | { readonly kind: 'hello' }
  | {
      readonly kind: 'serving'
      readonly places: readonly ServedPlace[]
      readonly admin: AdminPaths
    }
  /** It cannot start, and has told the operator why. */
  | { readonly kind: 'failed' }
  | { readonly kind: 'stopping' }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }

/** What the admin interface of a child knows. */
export interface AdminPaths {
  /** Undefined where there is to be none. */
  readonly socket: string | undefined
  readonly routes: readonly string[]
  readonly calls: readonly string[]
}

/** Undefined for what is none of ours, such as the messages of node:cluster. */
export function readMessage<Message extends ToChild | FromChild>(
  value: unknown,
): Message | undefined {
  const isOurs = typeof value === 'object' && value !== null && 'kind' in value
  // Both ends are of the same build, and nobody else has the channel.
  return isOurs ? (value as Message) : undefined
}
