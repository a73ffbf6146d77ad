import { Alert, Button, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import { type Configuration, keyProblem, rememberConfiguration, urlProblem } from '../lib/configuration'
import { Frame } from './Frame'

/** Where the project is: for a page without a config.json. */
export function Setup({ problem, entered }: { problem?: string; entered?: Partial<Configuration> }) {
  return (
    <Frame title="Connect to your Supabase project">
      <Alert color={problem ? 'red' : 'yellow'} title={problem ? 'This configuration cannot be used' : 'Not configured yet'} role="status">
        {problem ?? 'This page does not know your project yet. Nothing is wrong; tell it once and this browser remembers.'}
      </Alert>
      <SetupForm entered={entered} />
      <Text size="xs" c="dimmed">
        Both are in your Supabase project under Settings → API keys. Whoever hosts this page can write them into config.json beside it
        instead.
      </Text>
    </Frame>
  )
}

export function SetupForm({ entered = {} }: { entered?: Partial<Configuration> }) {
  const [url, setUrl] = useState(entered.url ?? '')
  const [key, setKey] = useState(entered.key ?? '')
  const [project, setProject] = useState(entered.project ?? '')
  const [tried, setTried] = useState(false)
  const problems = { url: urlProblem(url.trim()), key: keyProblem(key.trim()) }
  // A secret key is said to be one at once, not after a click.
  const dangerous = problems.key?.startsWith('This is a secret')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setTried(true)
    if (problems.url || problems.key) return
    rememberConfiguration({ url: url.trim().replace(/\/+$/, ''), key: key.trim(), project: project.trim() || undefined })
    location.reload()
  }
  return (
    <form onSubmit={submit} noValidate>
      <Stack>
        <TextInput
          label="Project URL"
          placeholder="https://abcdefgh.supabase.co"
          type="url"
          required
          value={url}
          onChange={(event) => setUrl(event.currentTarget.value)}
          error={tried && problems.url}
          autoComplete="off"
        />
        <PasswordInput
          label="Publishable key"
          description="sb_publishable_… — never a secret or service_role key"
          required
          value={key}
          onChange={(event) => setKey(event.currentTarget.value)}
          error={(tried || dangerous) && problems.key}
          autoComplete="off"
        />
        <TextInput
          label="Project"
          description="The project of your agent’s YAML; may stay empty"
          placeholder="home-lab"
          value={project}
          onChange={(event) => setProject(event.currentTarget.value)}
          autoComplete="off"
        />
        <Button type="submit">Connect</Button>
      </Stack>
    </form>
  )
}
