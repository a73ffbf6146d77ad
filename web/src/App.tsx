// What is shown: set-up, sign-in, a reason why there is nothing to show, or the pages of the current project.

import { Center, Loader } from '@mantine/core'
import { useEffect, useState } from 'react'
import { type Loaded, loadConfiguration } from './lib/configuration'
import { ApiError } from './lib/errors'
import { useFilters } from './lib/hash'
import { keepKnown } from './lib/known'
import { useProjects } from './lib/live'
import type { CronProject } from './lib/rows'
import { useValue } from './lib/store'
import { chooseProject, connect, currentProject, session, settleProject } from './lib/supabase'
import { Shell } from './Shell'
import { NoMembership, NoSchema, Unreachable, WrongKey } from './screens/Blocked'
import { Setup } from './screens/Setup'
import { SignIn } from './screens/SignIn'

export function App() {
  const [loaded, setLoaded] = useState<Loaded>()
  useEffect(() => void begin().then(setLoaded), [])
  if (!loaded) return <Waiting />
  if (loaded.kind === 'unset') return <Setup problem={loaded.problem} entered={loaded.entered} />
  return <Connected />
}

let beginning: Promise<Loaded> | undefined
/** Once, however often React mounts. */
function begin(): Promise<Loaded> {
  beginning ??= loadConfiguration().then(async (loaded) => {
    if (loaded.kind === 'ready') {
      await connect(loaded.configuration)
      keepKnown()
    }
    return loaded
  })
  return beginning
}

function Connected() {
  const who = useValue(session)
  const projects = useProjects()
  const [wantsSignIn, setWantsSignIn] = useState(false)
  const ended = who.kind === 'out' && who.ended
  useEffect(() => {
    if (who.kind === 'in') setWantsSignIn(false)
    // Where a project is open to everybody there would be something to see, but less than before.
    else if (ended) setWantsSignIn(true)
  }, [who.kind, ended])
  const kind = projects.error instanceof ApiError ? projects.error.kind : projects.error && 'refused'

  if (who.kind === 'loading') return <Waiting />
  if (kind === 'key') return <WrongKey />
  if (wantsSignIn) return <SignIn ended={ended} onBack={projects.data?.length ? () => setWantsSignIn(false) : undefined} />
  if (projects.data === undefined) {
    if (!kind) return <Waiting />
    if (kind === 'schema') return <NoSchema />
    if (kind === 'session' || (kind === 'forbidden' && who.kind === 'out')) return <SignIn />
    return <Unreachable error={projects.error} again={() => void projects.refetch()} />
  }
  if (projects.data.length === 0) return who.kind === 'out' ? <SignIn ended={ended} /> : <NoMembership />
  return <Project projects={projects.data} onSignIn={() => setWantsSignIn(true)} />
}

function Project({ projects, onSignIn }: { projects: CronProject[]; onSignIn: () => void }) {
  const wanted = useFilters()[0].get('project')
  const ids = projects.map((each) => each.projectId)
  const chosen = useValue(currentProject)
  const known = ids.join('\n')
  // biome-ignore lint/correctness/useExhaustiveDependencies: `known` stands for `ids`
  useEffect(() => {
    // A link may name its project.
    if (wanted && ids.includes(wanted)) chooseProject(wanted)
    else settleProject(ids)
  }, [known, wanted])
  if (!chosen || !ids.includes(chosen)) return <Waiting />
  return <Shell key={chosen} projects={projects} projectId={chosen} onSignIn={onSignIn} />
}

function Waiting() {
  return (
    <Center h="100dvh" aria-busy="true">
      <Loader aria-label="Loading" />
    </Center>
  )
}
