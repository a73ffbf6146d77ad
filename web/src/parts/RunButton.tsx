import { Button, Tooltip } from '@mantine/core'
import { lazy, Suspense, useRef, useState } from 'react'
import { useProject } from '../lib/live'
import { type CronMirrorJob, mayOperate } from '../lib/rows'
import { Icon } from './icons'
import { runJob } from './run'

const PayloadForm = lazy(() => import('./PayloadForm'))

/** Runs a job; asks for its payload first where it takes one. Not there for who may not run. */
export function RunButton({ job, label = 'Run', size = 'compact-sm' }: { job: CronMirrorJob; label?: string; size?: string }) {
  const project = useProject()
  const { ask, busy, form } = useRun(job)
  if (!mayOperate(project)) return null
  return (
    <>
      <Tooltip label="The job is disabled: a run may be refused" disabled={job.enabled}>
        <Button
          size={size}
          variant="light"
          leftSection={<Icon name="run" size={12} />}
          loading={busy}
          aria-label={`${label} ${job.name}`}
          data-run={job.jobId}
          tabIndex={0}
          onClick={ask}
        >
          {label}
        </Button>
      </Tooltip>
      {form}
    </>
  )
}

/** What pressing Run on this job does: `ask()`; `form` must be rendered, it shows itself when a payload is needed. */
export function useRun(job: CronMirrorJob, payload?: unknown) {
  const [busy, setBusy] = useState(false)
  const [asking, setAsking] = useState(false)
  const run = async (given?: unknown) => {
    setBusy(true)
    try {
      return await runJob(job.jobId, given === undefined ? {} : { payload: given })
    } finally {
      setBusy(false)
    }
  }
  const asked = useRef<Element>(null)
  const ask = () => {
    if (busy) return
    asked.current = document.activeElement
    if (job.accepts) setAsking(true)
    else void run()
  }
  const close = () => {
    setAsking(false)
    // Back to where one was; the form is not there to do it when it is gone.
    requestAnimationFrame(() => asked.current instanceof HTMLElement && asked.current.focus({ preventScroll: true }))
  }
  const form = asking && job.accepts && (
    <Suspense fallback={null}>
      <PayloadForm job={job} schema={job.accepts} initial={payload} onRun={run} onClose={close} />
    </Suspense>
  )
  return { ask, busy, form }
}
