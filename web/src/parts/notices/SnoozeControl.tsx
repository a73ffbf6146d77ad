import { Button, Menu } from '@mantine/core'
import { useState } from 'react'
import { snooze } from '../../lib/api'
import { readAgain } from '../../lib/cache'
import { explain } from '../../lib/errors'
import { shorten, visible } from '../../lib/format'
import { useSnoozes } from '../../lib/live'
import { subjectOf } from '../../lib/notices'
import { serverNow } from '../../lib/supabase'
import { failed } from '../run'

const CHOICES: [string, number][] = [
  ['For an hour', 1],
  ['For 8 hours', 8],
  ['For a day', 24],
  ['For a week', 168],
]

/** Nobody is told of a subject for a while, or again from now on. What it is about goes on. */
export function SnoozeControl({ subject }: { subject: string }) {
  const [busy, setBusy] = useState(false)
  const snoozed = useSnoozes().data?.some((each) => each.subject === subject && Date.parse(each.until) > serverNow())
  const about = subjectOf(subject)
  if (!about) return null
  const name = `${about.kind} ${shorten(visible(about.id), 60)}`
  const set = async (hours?: number) => {
    setBusy(true)
    const until = hours === undefined ? undefined : new Date(serverNow() + hours * 3_600_000).toISOString()
    await snooze(subject, until).catch((error: unknown) => failed(hours ? 'Not snoozed' : 'Still snoozed', explain(error)))
    readAgain({ queryKey: ['snoozes'] })
    setBusy(false)
  }
  if (snoozed) {
    return (
      <Button size="compact-xs" variant="default" loading={busy} aria-label={`End snooze of ${name}`} onClick={() => void set()}>
        End snooze
      </Button>
    )
  }
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button size="compact-xs" variant="default" loading={busy} aria-label={`Snooze ${name}`}>
          Snooze
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Tell nobody of this {about.kind}; it goes on</Menu.Label>
        {CHOICES.map(([words, hours]) => (
          <Menu.Item key={hours} onClick={() => void set(hours)}>
            {words}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}
