import { Alert, Button, Group, Text } from '@mantine/core'
import { type ReactNode, useEffect } from 'react'
import { cancelReconnect, handOverCode } from '../../lib/api'
import { queryClient } from '../../lib/cache'
import { ApiError, explain } from '../../lib/errors'
import { type Returned, returned } from '../../lib/returns'
import { store, useValue } from '../../lib/store'
import { Data } from '../Data'

/** Why what came back could not be handed over, or why there was nothing to hand over. */
type Outcome = { kind: 'refused' | 'foreign'; words: string } | { kind: 'unreachable'; words: string }
const outcome = store<Outcome | undefined>(undefined)

/** Takes what the provider sent back, once, and hands it over. */
async function settle(): Promise<void> {
  const back = returned.get()
  returned.set(undefined)
  if (!back) return
  outcome.set(undefined)
  if (back.kind === 'code') await handOver(back)
  else if (back.kind === 'foreign') outcome.set({ kind: 'foreign', words: '' })
  else {
    const { projectId, requestId } = back.begun
    outcome.set({ kind: 'refused', words: `The provider said: ${back.error}` })
    // It is over in the database as well; where that can't be told now, it ends by itself.
    await cancelReconnect(projectId, requestId).catch(() => {})
  }
  await queryClient.invalidateQueries({ queryKey: ['reconnects'] })
}

async function handOver(back: Extract<Returned, { kind: 'code' }>): Promise<void> {
  try {
    await handOverCode(back.begun.projectId, back.begun.requestId, back.state, back.code)
  } catch (error) {
    const unreachable = error instanceof ApiError && (error.kind === 'unreachable' || error.kind === 'session')
    // It may still be good: kept for another try, in memory alone.
    if (unreachable) returned.set(back)
    outcome.set({ kind: unreachable ? 'unreachable' : 'refused', words: explain(error) })
  }
}

/** Where a browser that comes back from a provider arrives. */
export function Return() {
  const told = useValue(outcome)
  useEffect(() => void settle(), [])
  if (!told) return null
  if (told.kind === 'unreachable') {
    return (
      <Note title="The sign-in could not be handed to the agent yet">
        <Data>{told.words}</Data>
        <Button size="compact-sm" onClick={() => void settle()}>
          Try again
        </Button>
      </Note>
    )
  }
  if (told.kind === 'foreign') {
    return (
      <Note title="This sign-in was not begun in this browser">
        Or it was begun more than 10 minutes ago. Nothing of it was used: press Reconnect here, and sign in again.
      </Note>
    )
  }
  return (
    <Note title="The sign-in was refused">
      <Data length={500}>{told.words}</Data>
    </Note>
  )
}

function Note({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Alert color="red" mb="md" role="alert" title={title} withCloseButton closeButtonLabel="Dismiss" onClose={() => outcome.set(undefined)}>
      <Text size="sm" component="div">
        <Group gap="sm">{children}</Group>
      </Text>
    </Alert>
  )
}
