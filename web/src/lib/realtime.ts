// Changes of one project, as they happen. Realtime delivers at most once and can fall silent in many ways, so the channel
// is thrown away and built anew whenever it says anything but "subscribed", and whoever listens reads again after each
// (re)subscription: an event is a hint, the tables are the truth.

import type { RealtimePostgresChangesPayload } from '@supabase/supabase-js'
import { type Row, toCamel } from './rows'
import { isLocked, session, supabase } from './supabase'

const TABLES = ['cron_mirror', 'cron_run_requests', 'cron_runs', 'cron_agents', 'cron_notifications'] as const
/** Not for nobody: Realtime would refuse all the others with it. */
const MEMBERS_TABLES = ['cron_connection_requests'] as const
/** Until "Subscribed to PostgreSQL" comes; cold servers take seconds. */
const PATIENCE_MS = 20_000
const LONGEST_PAUSE_MS = 15_000

export interface ProjectChange {
  table: (typeof TABLES)[number] | (typeof MEMBERS_TABLES)[number]
  event: 'INSERT' | 'UPDATE' | 'DELETE'
  id: string
  /** The new row in camelCase, null as undefined; without long values that have not changed. None after a deletion. */
  row?: Row
}

/** `live`: the server says that it listens to the tables. `polling`: not now; it will try again. */
export type RealtimeState = 'connecting' | 'live' | 'polling'

/** Watch a project; returns what ends it. `onState('live')` comes anew after every interruption: read again then. */
export function subscribeToProjectRealtime(
  projectId: string,
  onChange: (change: ProjectChange) => void,
  onState: (state: RealtimeState) => void = () => {},
): () => void {
  let life = 0
  let failures = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let close = () => {}

  const again = () => {
    onState('polling')
    const longest = Math.min(1000 * 2 ** failures++, LONGEST_PAUSE_MS)
    timer = setTimeout(() => void begin(), longest * (0.5 + Math.random() / 2))
  }

  async function begin(): Promise<void> {
    const mine = ++life
    await supabase()
      .realtime.setAuth()
      .catch(() => {})
    // A channel that nobody is signed in to joins, and is told nothing.
    const deaf = await isLocked()
    if (mine !== life) return
    if (deaf) return again()
    const channel = supabase().channel(`cronmirror:${projectId}:${mine}:${Math.random().toString(36).slice(2)}`)
    const lost = () => {
      if (mine !== life) return
      life++
      clearTimeout(timer)
      void supabase().removeChannel(channel)
      again()
    }
    for (const table of session.get().kind === 'in' ? [...TABLES, ...MEMBERS_TABLES] : TABLES) {
      const wanted = { event: '*', schema: 'public', table, filter: `project_id=eq.${projectId}` } as const
      channel.on('postgres_changes', wanted, (change) => {
        const known = mine === life ? toChange(table, change) : undefined
        if (known) onChange(known)
      })
    }
    channel.on('system', {}, (said: { extension?: string; status?: string }) => {
      if (mine !== life || said.extension !== 'postgres_changes') return
      if (said.status !== 'ok') return lost()
      clearTimeout(timer)
      failures = 0
      onState('live')
    })
    timer = setTimeout(lost, PATIENCE_MS)
    close = () => void supabase().removeChannel(channel)
    channel.subscribe((status) => {
      if (status !== 'SUBSCRIBED') lost()
    })
  }

  const hurry = () => {
    if (failures === 0 || document.visibilityState === 'hidden') return
    clearTimeout(timer)
    life++
    close()
    void begin()
  }
  addEventListener('online', hurry)
  document.addEventListener('visibilitychange', hurry)
  onState('connecting')
  void begin()
  return () => {
    life++
    clearTimeout(timer)
    removeEventListener('online', hurry)
    document.removeEventListener('visibilitychange', hurry)
    close()
  }
}

function toChange(table: ProjectChange['table'], change: RealtimePostgresChangesPayload<Row>): ProjectChange | undefined {
  const deleted = change.eventType === 'DELETE'
  const id = (deleted ? change.old : change.new)?.id
  if (typeof id !== 'string') return undefined
  return { table, event: change.eventType, id, ...(!deleted && { row: changed(change.new) }) }
}

/** Other than `camel` it says which values have become null. */
function changed(row: Row): Row {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [toCamel(key), value ?? undefined]))
}
