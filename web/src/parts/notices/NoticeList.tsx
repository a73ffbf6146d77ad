import { Button } from '@mantine/core'
import { useLayoutEffect, useRef } from 'react'
import { readNotifications } from '../../lib/api'
import { readAgain } from '../../lib/cache'
import { explain } from '../../lib/errors'
import { shorten, visible } from '../../lib/format'
import { to } from '../../lib/hash'
import { useProject } from '../../lib/live'
import { type Delivered, deliveriesOf, type Subject, subjectOf } from '../../lib/notices'
import { type CronNotification, mayOperate } from '../../lib/rows'
import { Data } from '../Data'
import { Link } from '../Link'
import { failed } from '../run'
import { Toned } from '../StatusBadge'
import { Time } from '../Time'
import classes from './Notices.module.css'
import { SnoozeControl } from './SnoozeControl'

const SEVERITIES: Record<string, string> = { info: 'blue', warning: 'orange', critical: 'red' }

/** Notices, newest first. `brief`: without how they were delivered and without what one may do about their subject. */
export function NoticeList({ notices, brief = false }: { notices: CronNotification[]; brief?: boolean }) {
  return (
    <ul className={classes.list} aria-label="Notices" tabIndex={-1}>
      {notices.map((notice) => (
        <Notice key={notice.id} notice={notice} brief={brief} />
      ))}
    </ul>
  )
}

function Notice({ notice, brief }: { notice: CronNotification; brief: boolean }) {
  const project = useProject()
  const unread = notice.readAt === undefined
  const title = shorten(visible(notice.title), 80)
  return (
    <li className={classes.notice} data-notice={notice.id} data-unread={unread || undefined}>
      <div className={classes.head}>
        <Toned color={SEVERITIES[notice.severity] ?? 'gray'} data-severity={notice.severity}>
          <Data length={20}>{notice.severity}</Data>
        </Toned>
        <span className={classes.title}>
          {unread && <span className="unseen">Unread: </span>}
          <Data length={200}>{notice.title}</Data>
        </span>
        <Time at={notice.createdAt} />
      </div>
      {notice.body && (
        <p className={classes.body}>
          <Data length={brief ? 160 : 4000}>{notice.body}</Data>
        </p>
      )}
      <div className={classes.foot}>
        <SubjectLink subject={notice.subject} />
        {!brief && <HowDelivered notice={notice} />}
        <span className={classes.do}>
          {unread && project?.role && <Read ids={[notice.id]} label="Mark read" name={`Mark read: ${title}`} />}
          {!brief && mayOperate(project) && <SnoozeControl subject={notice.subject} />}
        </span>
      </div>
    </li>
  )
}

const PLACES: Record<Subject['kind'], (id: string) => string> = { job: to.job, connection: to.connections, agent: to.agents }

/** What it is about; a link where this page shows such things. */
export function SubjectLink({ subject }: { subject: string }) {
  const about = subjectOf(subject)
  if (!about) return <Data length={80}>{subject}</Data>
  return (
    <Link to={PLACES[about.kind](about.id)} size="sm" underline="always">
      {about.kind} <Data length={80}>{about.id}</Data>
    </Link>
  )
}

const STATES: Record<string, { color: string; word: string }> = {
  waiting: { color: 'yellow', word: 'on its way' },
  sent: { color: 'green', word: 'sent' },
  failed: { color: 'red', word: 'not delivered' },
  snoozed: { color: 'gray', word: 'snoozed' },
  superseded: { color: 'gray', word: 'not sent: over by then' },
  expired: { color: 'red', word: 'not sent in time' },
}

/** On which channels people were told, and where that failed. */
function HowDelivered({ notice }: { notice: CronNotification }) {
  const deliveries = deliveriesOf(notice.deliveries)
  if (notice.snoozed && !deliveries.length) return <span className="dim">snoozed: nobody was told</span>
  if (!deliveries.length) return <span className="dim">shown here only</span>
  return (
    <span className={classes.deliveries}>
      {deliveries.map((each) => (
        <Channel key={each.channel} delivered={each} />
      ))}
    </span>
  )
}

function Channel({ delivered: { channel, state, attempts, at, error } }: { delivered: Delivered }) {
  const look = Object.hasOwn(STATES, state) ? STATES[state] : undefined
  return (
    <span data-delivery={state}>
      <Data length={60}>{channel}</Data>{' '}
      <Toned color={look?.color ?? 'gray'}>
        {look?.word ?? <Data length={20}>{state}</Data>}
        {attempts > 1 && ` · ${attempts} attempts`}
      </Toned>
      {at && (
        <span className="dim">
          {' '}
          <Time at={at} />
        </span>
      )}
      {error && state !== 'sent' && (
        <span className="dim">
          {' · '}
          <Data length={200}>{error}</Data>
        </span>
      )}
    </span>
  )
}

/** Marks all notices as read, also those that are not in sight. */
export function ReadAll() {
  return useProject()?.role ? <Read label="Mark all read" /> : null
}

function Read({ ids, label, name = label }: { ids?: string[]; label: string; name?: string }) {
  const button = useRef<HTMLButtonElement>(null)
  const busy = useRef(false)
  // It goes once there is nothing to read any more; the keyboard stays where it is.
  useLayoutEffect(() => {
    const own = button.current
    return () => {
      if (own && document.activeElement === own) homeOf(own)?.focus({ preventScroll: true })
    }
  }, [])
  const read = async () => {
    if (busy.current) return
    busy.current = true
    await readNotifications(ids).catch((error: unknown) => failed('Not marked as read', explain(error)))
    for (const key of ['unread', 'notifications']) readAgain({ queryKey: [key] })
    busy.current = false
  }
  return (
    <Button ref={button} size="compact-xs" variant="default" aria-label={name} onClick={() => void read()}>
      {label}
    </Button>
  )
}

/** What outlives this button: its list, as long as there is another notice in it. */
function homeOf(button: HTMLElement): HTMLElement | null {
  const list = button.closest('ul')
  return list && list.children.length > 1 ? list : button.closest<HTMLElement>('.bell-list, main')
}
