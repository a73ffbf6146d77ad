import { ActionIcon, Tooltip, useMantineColorScheme } from '@mantine/core'
import { Icon } from './icons'

const NEXT = { auto: 'light', light: 'dark', dark: 'auto' } as const
const LOOK = { auto: 'system', light: 'sun', dark: 'moon' } as const
const NAME = { auto: 'as the system', light: 'light', dark: 'dark' } as const

/** Light, dark, or as the system has it. */
export function SchemeSwitch() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const label = `Colours: ${NAME[colorScheme]}. Change to ${NAME[NEXT[colorScheme]]}`
  return (
    <Tooltip label={label}>
      <ActionIcon variant="default" size="lg" aria-label={label} onClick={() => setColorScheme(NEXT[colorScheme])}>
        <Icon name={LOOK[colorScheme]} />
      </ActionIcon>
    </Tooltip>
  )
}
