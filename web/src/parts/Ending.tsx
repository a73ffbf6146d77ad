// Why a run or a request ended as it did, in words, the error first.

import { Alert, Stack, Text } from '@mantine/core'
import { useSyncExternalStore } from 'react'
import { causeOf, exitCodeInWords, fencedOff, neverBegan, reasonOf } from '../lib/reasons'
import type { CronRun, CronRunRequest } from '../lib/rows'
import { stripped } from '../output/escapes'
import type { Output } from '../output/output'
import { Data } from './Data'
import classes from './Ending.module.css'

const LINES = 12
/** An output as short as this is seen whole: its errors need no second place. */
const SHORT = 20

/** Nothing for a run that goes on or went well. */
export function RunEnding({ run, request, output }: { run: CronRun; request?: CronRunRequest | null; output?: Output }) {
  const fenced = fencedOff(run, request ?? undefined)
  if (run.status === 'running') return null
  if (run.status === 'ok' && !fenced) {
    const cause = run.trigger === 'catch_up' ? causeOf(run.reason) : undefined
    return cause ? <Alert color="gray">This run made up for its slot. {cause}</Alert> : null
  }
  const reason = fenced ? reasonOf('error', 'fenced') : reasonOf(run.status, run.reason)
  const calm = neverBegan(run.status) || run.status === 'cancelled'
  return (
    <Alert color={calm ? 'orange' : 'red'} title={<Data>{reason.title}</Data>}>
      <Stack gap={6}>
        <Said text={run.error ?? reason.detail} />
        {reason.advice && <Text size="sm">{reason.advice}</Text>}
        {!calm && output && <LastErrors output={output} />}
      </Stack>
    </Alert>
  )
}

/** Of a request that ended without a run of its own to show. */
export function RequestEnding({ request }: { request: CronRunRequest }) {
  if (request.status !== 'error') return null
  const reason = reasonOf('error', request.result?.reason)
  return (
    <Alert color={request.result?.reason === 'cancelled' ? 'orange' : 'red'} title={<Data>{reason.title}</Data>}>
      <Stack gap={6}>
        <Said text={request.result?.error ?? request.lastError ?? reason.detail} />
        {reason.advice && <Text size="sm">{reason.advice}</Text>}
      </Stack>
    </Alert>
  )
}

export function ExitCode({ code }: { code: number }) {
  const words = exitCodeInWords(code)
  return (
    <>
      {code} {words && <span className="dim">({words})</span>}
    </>
  )
}

function Said({ text }: { text: string }) {
  return (
    <Text size="sm" fw={500} className={classes.said}>
      <Data length={4000}>{text}</Data>
    </Text>
  )
}

/** What it said on stderr at last. */
function LastErrors({ output }: { output: Output }) {
  useSyncExternalStore(output.subscribe, () => output.version)
  if (output.rows.rows.length <= SHORT && output.rows.dropped === 0) return null
  const text = stripped(output.lastErrors(LINES))
  if (!text) return null
  return (
    <section className={classes.errors} aria-label="The last lines of stderr">
      <Data length={6000}>{text}</Data>
    </section>
  )
}
