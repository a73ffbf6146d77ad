import { Tooltip } from '@mantine/core'
import type { ComponentPropsWithRef, CSSProperties, ReactNode } from 'react'
import { shorten, visible } from '../lib/format'
import type { CronRun, CronRunRequest } from '../lib/rows'

type Look = { color: string; label: string; pulse?: boolean }

/** Every status of a request and of a run, in one place: queued yellow, running blue, done green, error red. */
const LOOKS: Record<string, Look> = {
  queued: { color: 'yellow', label: 'queued' },
  running: { color: 'blue', label: 'running', pulse: true },
  cancelling: { color: 'orange', label: 'cancelling', pulse: true },
  done: { color: 'green', label: 'done' },
  ok: { color: 'green', label: 'ok' },
  error: { color: 'red', label: 'error' },
  timeout: { color: 'red', label: 'timeout' },
  lost: { color: 'red', label: 'lost' },
  expired: { color: 'red', label: 'expired' },
  unknown_job: { color: 'red', label: 'unknown job' },
  rejected: { color: 'red', label: 'rejected' },
  cancelled: { color: 'gray', label: 'cancelled' },
  skipped: { color: 'gray', label: 'skipped' },
  missed: { color: 'orange', label: 'missed' },
}

/** A word on a ground of its colour (a Mantine colour name), readable in both themes. */
export function Toned({ color, pulse, className = '', ...rest }: { color: string; pulse?: boolean } & ComponentPropsWithRef<'span'>) {
  return (
    <span
      // A tooltip around it gives a class of its own, be it an empty one.
      className={`status ${pulse ? 'pulse ' : ''}${className}`.trim()}
      style={{ '--tone': `var(--mantine-color-${color}-6)` } as CSSProperties}
      {...rest}
    />
  )
}

/** A status as a coloured word. `why` shows on hover and focus. */
export function StatusBadge({ status, why, children }: { status: string; why?: string; children?: ReactNode }) {
  const look = LOOKS[status] ?? { color: 'gray', label: shorten(visible(status), 20) }
  // A plain element: thousands of rows have one.
  const badge = (
    <Toned color={look.color} pulse={look.pulse} data-status={status} {...(why && { tabIndex: 0 })}>
      {children ?? look.label}
    </Toned>
  )
  if (!why) return badge
  return (
    <Tooltip label={shorten(visible(why), 400)} multiline maw={360} events={{ hover: true, focus: true, touch: true }}>
      {badge}
    </Tooltip>
  )
}

/** A request's status: the four words, and the finer reason of an error where there is one. */
export function RequestBadge({ request }: { request: CronRunRequest }) {
  const why = request.result?.error ?? request.lastError ?? undefined
  if (request.cancelRequestedAt && request.status === 'running') return <StatusBadge status="cancelling" />
  const reason = request.status === 'error' ? request.result?.reason : undefined
  return <StatusBadge status={reason && LOOKS[reason] ? reason : request.status} why={why || undefined} />
}

export function RunBadge({ run }: { run: CronRun }) {
  return <StatusBadge status={run.status} why={run.error ?? (run.status === 'ok' ? undefined : run.reason)} />
}

/** The colour of a status, for charts: a Mantine colour name. */
export function statusColor(status: string): string {
  return LOOKS[status]?.color ?? 'gray'
}
