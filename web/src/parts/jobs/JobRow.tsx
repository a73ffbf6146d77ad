import { Badge, Button } from '@mantine/core'
import { memo, type ReactNode } from 'react'
import { duration, scheduleExpression, scheduleInWords } from '../../lib/format'
import { to } from '../../lib/hash'
import { type JobState, lastEnd } from '../../lib/jobs'
import { useStrip } from '../../lib/live'
import type { CronMirrorJob } from '../../lib/rows'
import { Data } from '../Data'
import { Icon } from '../icons'
import { Link } from '../Link'
import { useRun } from '../RunButton'
import { cancelRequest } from '../run'
import { StatusBadge } from '../StatusBadge'
import { Elapsed, NextRun, Time } from '../Time'
import { Strip } from './Strip'

interface Props {
  job: CronMirrorJob
  state: JobState
  operator: boolean
  narrow: boolean
  index: number
  top: number
  /** Is it the row that Tab goes to? The arrows go to the others. */
  reachable: boolean
  measure?: (row: HTMLElement | null) => void
}

/** One job. In a narrow window the same cells make a card. */
export const JobRow = memo(function JobRow({ job, state, operator, index, top, reachable, measure }: Props) {
  const expression = scheduleExpression(job)
  return (
    <div
      ref={measure}
      role="row"
      aria-rowindex={index + 2}
      data-index={index}
      data-job={job.jobId}
      className="jobs-row"
      tabIndex={reachable ? 0 : -1}
      style={{ transform: `translateY(${top}px)` }}
    >
      <Cell name="name">
        <div className="jobs-title">
          <Link to={to.job(job.jobId)} fw={600} size="sm">
            <Data length={90}>{job.name}</Data>
          </Link>
          {!job.enabled && <Chip>disabled</Chip>}
          {job.tags?.slice(0, 3).map((tag) => (
            <Chip key={tag}>
              <Data length={24}>{tag}</Data>
            </Chip>
          ))}
        </div>
        <div className="jobs-sub mono">
          <Data length={80}>{job.jobId}</Data>
          {job.instructions && (
            <span className="jobs-what">
              <Data length={160} title>
                {job.instructions}
              </Data>
            </span>
          )}
        </div>
      </Cell>
      <Cell name="schedule">
        <div className="clip">{scheduleInWords(job)}</div>
        {expression && (
          <div className="jobs-sub mono">
            <Data length={60}>{expression}</Data>
          </div>
        )}
      </Cell>
      <Cell name="next">
        <NextRun job={job} />
      </Cell>
      <Cell name="status">
        <Status job={job} state={state} />
        {state.queued > 1 && <span className="jobs-sub">{state.queued} queued</span>}
        {job.consecutiveFailures > 1 && !state.request && <span className="jobs-sub">{job.consecutiveFailures} in a row</span>}
      </Cell>
      <Cell name="last">
        <Time at={job.lastRunAt} zone={job.tz} />
      </Cell>
      <Cell name="duration">
        {state.since ? <Elapsed since={state.since} /> : job.lastDurationMs !== undefined && duration(job.lastDurationMs)}
      </Cell>
      <Cell name="strip">
        <Strip jobId={job.jobId} />
      </Cell>
      <Cell name="agent">
        <div className="clip">
          <Data length={60}>{job.agentIds.join(', ') || '—'}</Data>
        </div>
        {job.source && (
          <div className="jobs-sub">
            <Data length={60}>{job.source}</Data>
          </div>
        )}
      </Cell>
      <Cell name="do">{operator && <Actions job={job} state={state} />}</Cell>
    </div>
  )
})

function Status({ job, state }: { job: CronMirrorJob; state: JobState }) {
  const { data } = useStrip(job.jobId)
  const { status, run } = lastEnd(state.status, data)
  if (!status) return <span className="dim">never run</span>
  return <StatusBadge status={status} why={status === 'error' ? run?.reason : undefined} />
}

function Actions({ job, state }: { job: CronMirrorJob; state: JobState }) {
  const { ask, busy, form } = useRun(job)
  const { request } = state
  return (
    <>
      {request && !request.cancelRequestedAt && (
        <Button
          size="compact-sm"
          variant="default"
          tabIndex={-1}
          data-cancel
          aria-label={`Cancel ${job.name}`}
          onClick={() => void cancelRequest(request.id)}
        >
          Cancel
        </Button>
      )}
      <Button
        size="compact-sm"
        variant="light"
        loading={busy}
        data-run={job.jobId}
        aria-label={`Run ${job.name}`}
        leftSection={<Icon name="run" size={12} />}
        onClick={ask}
      >
        Run
      </Button>
      {form}
    </>
  )
}

function Cell({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div role="cell" className={`jobs-${name}`}>
      {children}
    </div>
  )
}

function Chip({ children }: { children: ReactNode }) {
  return (
    <Badge size="xs" variant="default" radius="sm" tt="none" fw={500}>
      {children}
    </Badge>
  )
}
