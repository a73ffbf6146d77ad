// The way back from a provider: it sends the browser to this page's own address with `?code=…&state=…`. Whoever has a code
// and its state could finish the sign-in in our stead, so both are taken out of the address bar and the history before
// anything else happens, live in memory alone, and count only where this browser began that sign-in.

import { memory, store } from './store'

/** A sign-in that was begun here, kept by its state. */
export interface Begun {
  requestId: string
  projectId: string
  connectionId: string
  /** The browser's clock (ms). */
  until: number
}

export type Returned =
  | { kind: 'code'; begun: Begun; state: string; code: string }
  /** The provider, or the person there, said no. */
  | { kind: 'refused'; begun: Begun; error: string }
  /** Not begun in this browser, or too long ago: nothing of it is used. */
  | { kind: 'foreign' }

const BEGUN = 'cronmirror.reconnect.'
/** As long as the database lets one wait. */
const LASTS_MS = 10 * 60_000
/** What providers add that the agent has no use for. Anything else may name the account (QuickBooks' `realmId`). */
const USUAL = ['code', 'state', 'scope', 'iss', 'session_state', 'authuser', 'prompt', 'hd']

/** What came back and nobody has taken yet. */
export const returned = store<Returned | undefined>(undefined)

/** Where the provider shall send the browser: this page, wherever it is hosted. */
export function redirectUri(at: Location = location): string {
  return at.origin + at.pathname.replace(/\/index\.html$/, '/')
}

/** Before the browser leaves for the provider. */
export function rememberBegun(state: string, begun: Omit<Begun, 'until'>): void {
  for (const [other] of memory.entries(BEGUN)) if (!begunWith(other)) memory.write(BEGUN + other, undefined)
  memory.write(BEGUN + state, JSON.stringify({ ...begun, until: Date.now() + LASTS_MS }))
}

function begunWith(state: string): Begun | undefined {
  try {
    const begun = JSON.parse(memory.read(BEGUN + state) ?? '') as Begun
    return begun.until > Date.now() ? begun : undefined
  } catch {
    return undefined
  }
}

/** First thing when the page starts: take what a provider sent out of the address, and judge it. */
export function takeReturn(): void {
  const given = new URLSearchParams(location.search)
  const code = given.get('code')
  const error = given.get('error')
  if (code === null && error === null) return
  const state = given.get('state') ?? ''
  const begun = state ? begunWith(state) : undefined
  memory.write(BEGUN + state, undefined)
  const route = begun ? `/connections?${new URLSearchParams({ project: begun.projectId, id: begun.connectionId })}` : '/connections'
  history.replaceState(null, '', `${location.origin}${location.pathname}#${route}`)
  if (!begun) returned.set({ kind: 'foreign' })
  else if (code) returned.set({ kind: 'code', begun, state, code: handedOver(given, code) })
  else returned.set({ kind: 'refused', begun, error: [error, given.get('error_description')].filter(Boolean).join(': ') || 'no code' })
}

/** The code; with what else the provider said, as a query that begins with `?`, where that may matter to the agent. */
function handedOver(given: URLSearchParams, code: string): string {
  const more = [...given].filter(([name]) => !USUAL.includes(name))
  return more.length ? `?${new URLSearchParams([['code', code], ...more])}` : code
}
