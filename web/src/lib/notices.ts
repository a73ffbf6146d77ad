// Notices: what changed, said once, for everybody in the project. Part of api.ts; and how what is in them is read.

import { must } from './errors'
import { type CronNotification, type CronSnooze, camelRows, NOTIFICATION_COLUMNS } from './rows'
import { project, serverNow, supabase } from './supabase'

/** The bell counts no further. */
export const MOST_UNREAD = 100

const ask = () => supabase().from('cron_notifications').select(NOTIFICATION_COLUMNS).eq('project_id', project())

/** The newest notices, or the newest that nobody has read. */
export async function getNotifications(limit: number, unreadOnly = false): Promise<CronNotification[]> {
  const query = unreadOnly ? ask().is('read_at', null) : ask()
  return camelRows(must(await query.order('created_at', { ascending: false }).order('id').limit(limit)))
}

/** How many nobody has read, at most MOST_UNREAD. */
export async function countUnread(): Promise<number> {
  const query = supabase().from('cron_notifications').select('id').eq('project_id', project()).is('read_at', null)
  return must(await query.limit(MOST_UNREAD)).length
}

/** Mark these as read, or all of them, for everybody in the project. */
export async function readNotifications(ids?: string[]): Promise<void> {
  must(await supabase().rpc('cron_read_notifications', { p_project: project(), p_ids: ids ?? null }))
}

/** What is snoozed now. */
export async function getSnoozes(): Promise<CronSnooze[]> {
  const query = supabase().from('cron_snoozes').select('subject,until,by').eq('project_id', project())
  return camelRows(must(await query.gt('until', new Date(serverNow()).toISOString()).order('until')))
}

/** Nobody is told of this subject until then; `undefined`: again at once. What it is about goes on. */
export async function snooze(subject: string, until: string | undefined): Promise<void> {
  must(await supabase().rpc('cron_snooze', { p_project: project(), p_subject: subject, p_until: until ?? null }))
}

// ── what is in them ─────────────────────────────────────────────────────────

export interface Subject {
  kind: 'job' | 'connection' | 'agent'
  id: string
}

/** What a notice is about; undefined where this page does not know that kind of thing. */
export function subjectOf(subject: string): Subject | undefined {
  const [, kind, id] = /^(job|connection|agent):(.+)$/s.exec(subject) ?? []
  return kind && id ? { kind: kind as Subject['kind'], id } : undefined
}

export interface Delivered {
  /** `AGENT/CHANNEL`, as the agent calls it. */
  channel: string
  state: string
  attempts: number
  at?: string
  error?: string
}

/** How far a notice got, by channel. jsonb: whatever is not of that shape is left out. */
export function deliveriesOf(deliveries: unknown): Delivered[] {
  if (typeof deliveries !== 'object' || deliveries === null || Array.isArray(deliveries)) return []
  return Object.entries(deliveries as Record<string, unknown>).flatMap(([channel, told]) => {
    if (typeof told !== 'object' || told === null) return []
    const { state, attempts, at, error } = told as Record<string, unknown>
    const text = (given: unknown) => (typeof given === 'string' && given ? given : undefined)
    if (!text(state)) return []
    return [{ channel, state: String(state), attempts: Number(attempts) || 0, at: text(at), error: text(error) }]
  })
}

/** What the bell says: "3", "99+". */
export function unreadInWords(count: number): string {
  return count >= MOST_UNREAD ? `${MOST_UNREAD - 1}+` : String(count)
}
