import { Button } from '@mantine/core'
import { rememberConfiguration } from '../lib/configuration'
import { memory } from '../lib/store'

/** Back to the set-up screen; only where this browser's own entry is in use, for a config.json wins anyhow. */
export function ForgetConfiguration({ label = 'Another project' }: { label?: string }) {
  if (!memory.read('cronmirror.configuration')) return null
  const forget = () => {
    rememberConfiguration(undefined)
    location.reload()
  }
  return (
    <Button variant="subtle" size="compact-sm" onClick={forget}>
      {label}
    </Button>
  )
}
