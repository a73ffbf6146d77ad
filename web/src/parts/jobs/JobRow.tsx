import { memo, type ReactNode } from 'react'
import { duration } from '../../lib/format'
import { to, useHashPath } from '../../lib/hash'
import { type JobState, lastEnd } from '../../lib/jobs'
import { useStrip } from '../../lib/live'
import type { CronMirrorJob, RecentRun } from '../../lib/rows'
import { scheduleExpression, scheduleWords, scheduleZone } from '../../lib/schedules'
import { StandingBadge } from '../connections/StandingBadge'
import { Data } from '../Data'
import { Icon } from '../icons'
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
  scrolling: boolean
  measure?: (row: HTMLElement | null) => void
}

const NONE: RecentRun[] = []

/** One job, of plain elements: many of them come and go while one scrolls. In a narrow window the same cells make a card. */
export const JobRow = memo(function JobRow({ job, state, operator, index, top, reachable, scrolling, measure }: Props) {
  const { data: runs = NONE } = useStrip(job.jobId, scrolling)
  const { status } = lastEnd(state.status, runs)
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
          <a className="link" href={useHashPath.hrefs(to.job(job.jobId))}>
            <Data length={90}>{job.name}</Data>
          </a>
          {!job.enabled && <Chip>disabled</Chip>}
          {job.tags?.slice(0, 3).map((tag) => (
            <Chip key={tag}>
              <Data length={24}>{tag}</Data>
            </Chip>
          ))}
        </div>
        <div className="jobs-sub mono">
          {job.connectionId && <StandingBadge id={job.connectionId} />} <Data length={80}>{job.jobId}</Data>
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
        <Schedule job={job} />
      </Cell>
      <Cell name="next">
        <NextRun job={job} />
      </Cell>
      <Cell name="status">
        {status ? <StatusBadge status={status} /> : <span className="dim">never run</span>}
        {state.queued > 1 && <span className="jobs-sub">{state.queued} queued</span>}
        {job.consecutiveFailures > 1 && !state.request && <span className="jobs-sub">{job.consecutiveFailures} in a row</span>}
      </Cell>
      <Cell name="last">
        <Time at={job.lastRunAt} zone={job.tz} />
      </Cell>
      <Cell name="duration">
        {state.since ? (
          <Elapsed since={state.since} />
        ) : (
          job.lastDurationMs !== undefined && <span className="jobs-took">{duration(job.lastDurationMs)}</span>
        )}
      </Cell>
      <Cell name="strip">
        <Strip runs={runs} reachable={reachable} />
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

/** In words, and below as it is written and where its clock stands. */
function Schedule({ job }: { job: CronMirrorJob }) {
  const expression = scheduleExpression(job)
  const zone = scheduleZone(job)
  return (
    <>
      <div className="jobs-words">
        <Data length={120} title>
          {scheduleWords(job)}
        </Data>
      </div>
      {expression && (
        <div className="jobs-sub">
          <span className="mono">
            <Data length={60}>{expression}</Data>
          </span>
          {zone && (
            <>
              {' · '}
              <Data length={40}>{zone}</Data>
            </>
          )}
        </div>
      )}
    </>
  )
}

function Actions({ job, state }: { job: CronMirrorJob; state: JobState }) {
  const { ask, busy, form } = useRun(job)
  const { request } = state
  return (
    <>
      {request && !request.cancelRequestedAt && (
        <button
          type="button"
          className="act quiet"
          data-cancel
          aria-label={`Cancel ${job.name}`}
          onClick={() => void cancelRequest(request.id)}
        >
          Cancel
        </button>
      )}
      <button type="button" className="act" aria-disabled={busy} data-run={job.jobId} aria-label={`Run ${job.name}`} onClick={ask}>
        <Icon name="run" size={11} /> Run
      </button>
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
  return <span className="chip">{children}</span>
}
