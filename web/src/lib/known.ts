// What was read last, kept in this browser: a page that is opened while Supabase is away shows it, marked as old. Of one
// person, bounded, without payloads and output, and gone when the person signs out or another one signs in.

import type { Query } from '@tanstack/react-query'
import { queryClient } from './cache'
import type { CronRun, CronRunRequest } from './rows'
import { memory } from './store'
import { configuration, keptPerson, session } from './supabase'

/** Characters: a browser gives a site about five million, and the session lives there too. */
export const MOST_EACH = 1_000_000
export const MOST = 2_000_000
const LONGEST_MS = 7 * 86_400_000
/** Changes come many at a time. */
const WRITE_MS = 2000

type Trim = (data: never) => unknown
const asItIs: Trim = (data) => data
const requests: Trim = (data: CronRunRequest[]) => data.map(withoutContents)

/** By the first part of a query's key. */
const KEPT: Record<string, Trim> = {
  projects: asItIs,
  jobs: asItIs,
  agents: asItIs,
  beats: asItIs,
  requests,
  open: requests,
  failing: asItIs,
  running: (data: CronRun[]) => data.map(({ output, error, ...run }) => run),
}

function withoutContents({ payload, lastError, result, ...request }: CronRunRequest): CronRunRequest {
  const { ok, reason, exit_code, duration_ms, run_id, agent_id, attempt } = result ?? {}
  return { ...request, ...(result && { result: { ok, reason, exit_code, duration_ms, run_id, agent_id, attempt } }) }
}

/** How much of this query is kept; undefined: none of it. */
function trimOf({ queryKey: [name, , more] }: Query): Trim | undefined {
  return KEPT[String(name === 'runs' && more === 'failing' ? more : name)]
}

const prefix = () => `cronmirror.known.${new URL(configuration().url).host}.`
const person = () => {
  const who = session.get()
  return who.kind === 'in' ? who.userId : who.kind === 'out' ? '' : undefined
}

/** Put what is known of this person into the cache, forget the rest, and keep what is read from now on. */
export function keepKnown(): () => void {
  let who = person()
  restore(who)
  let timer: ReturnType<typeof setTimeout> | undefined
  const fresh = new Set<Query>()
  const write = () => {
    clearTimeout(timer)
    timer = undefined
    if (who !== undefined) for (const query of fresh) keep(query, who)
    fresh.clear()
    makeRoom()
  }
  const unwatch = queryClient.getQueryCache().subscribe(({ type, query }) => {
    if (type !== 'updated' || query.state.status !== 'success' || !trimOf(query)) return
    fresh.add(query)
    timer ??= setTimeout(write, WRITE_MS)
  })
  const unfollow = session.watch(() => {
    const next = person()
    if (next === who) return
    const before = who
    who = next
    if (before === undefined) return restore(next)
    fresh.clear()
    forget()
    queryClient.clear()
  })
  addEventListener('pagehide', write)
  return () => {
    write()
    unwatch()
    unfollow()
    removeEventListener('pagehide', write)
  }
}

function keep(query: Query, who: string): void {
  const { data, dataUpdatedAt: at } = query.state
  const trim = trimOf(query)
  if (!trim || data === undefined) return
  // Signed out in another tab, of which this one has not heard yet.
  if (who !== '' && keptPerson()?.userId !== who) return
  const text = `${at} ${who}\n${JSON.stringify(trim(data as never))}`
  memory.write(prefix() + JSON.stringify(query.queryKey), text.length <= MOST_EACH ? text : undefined)
}

function restore(who: string | undefined): void {
  if (who === undefined) return
  for (const [key, text] of memory.entries(prefix())) {
    const { at, whose } = head(text)
    const queryKey = parse(key)
    const data = whose === who && Date.now() - at < LONGEST_MS ? parse(text.slice(text.indexOf('\n'))) : undefined
    if (!Array.isArray(queryKey) || data === undefined) memory.write(prefix() + key, undefined)
    else if (!queryClient.getQueryData(queryKey)) queryClient.setQueryData(queryKey, data, { updatedAt: at })
  }
}

/** The oldest goes first. */
function makeRoom(): void {
  const all = memory.entries(prefix()).map(([key, text]) => ({ key, size: text.length, at: head(text).at }))
  let size = all.reduce((sum, each) => sum + each.size, 0)
  for (const each of all.toSorted((a, b) => a.at - b.at)) {
    if (size <= MOST) return
    memory.write(prefix() + each.key, undefined)
    size -= each.size
  }
}

function forget(): void {
  for (const [key] of memory.entries(prefix())) memory.write(prefix() + key, undefined)
}

/** When it was read and by whom: its first line, so that nothing else of it need be understood. */
function head(text: string): { at: number; whose: string } {
  const [at, whose = ''] = text.slice(0, text.indexOf('\n')).split(' ')
  return { at: Number(at) || 0, whose }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
