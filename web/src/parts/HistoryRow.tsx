import { Table } from '@mantine/core'
import { memo } from 'react'
import { duration } from '../lib/format'
import { to } from '../lib/hash'
import { causeOf, reasonOf } from '../lib/reasons'
import { type CronRun, runAt } from '../lib/rows'
import { Data } from './Data'
import classes from './History.module.css'
import { Link } from './Link'
import { StatusBadge } from './StatusBadge'
import { Elapsed, Time } from './Time'

export const TRIGGERS: Record<string, string> = {
  schedule: 'schedule',
  request: 'request',
  catch_up: 'catch-up',
  startup: 'startup',
}

/** One run of the history; its job's name leads to it. */
export const HistoryRow = memo(function HistoryRow({ run, name }: { run: CronRun; name: string | undefined }) {
  return (
    <Table.Tr data-run={run.id}>
      <Table.Td className={classes.status}>
        <StatusBadge status={run.status} />
      </Table.Td>
      <Table.Td className={classes.name}>
        <Link to={to.run(run.id)} fw={500} inherit>
          <Data length={80}>{name ?? run.jobId}</Data>
        </Link>
      </Table.Td>
      <Table.Td className={classes.when}>
        <Time at={runAt(run)} />
      </Table.Td>
      <Table.Td className={classes.number}>
        <Lasted run={run} />
      </Table.Td>
      <Table.Td className={classes.spare}>{TRIGGERS[run.trigger] ?? <Data length={20}>{run.trigger}</Data>}</Table.Td>
      <Table.Td className={`${classes.number} ${classes.spare}`}>{run.attempt}</Table.Td>
      <Table.Td className={`${classes.number} ${classes.spare}`}>{run.exitCode ?? <span className="dim">—</span>}</Table.Td>
      <Table.Td className={classes.spare}>
        <Data length={40}>{run.agentId}</Data>
      </Table.Td>
      <Table.Td className={classes.why}>
        <Data length={160}>{why(run)}</Data>
      </Table.Td>
    </Table.Tr>
  )
})

/** How long it took, or takes. */
function Lasted({ run }: { run: CronRun }) {
  if (run.status === 'running') return <Elapsed since={run.startedAt} />
  return run.durationMs === undefined ? <span className="dim">—</span> : duration(run.durationMs)
}

/** The cause of a slot that was missed, the error of what failed; nothing of what went well. */
export function why(run: CronRun): string {
  if (run.status === 'running') return ''
  if (run.status === 'ok') return run.trigger === 'catch_up' ? (causeOf(run.reason) ?? '') : ''
  const { title, detail } = reasonOf(run.status, run.reason)
  return run.error ? `${title}: ${run.error}` : `${title}. ${detail}`
}
