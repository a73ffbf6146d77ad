// The frame around every page: project, connection, who is signed in, and the way to the pages.

import { ActionIcon, Button, Group, Menu, Select, Text } from '@mantine/core'
import { lazy, Suspense } from 'react'
import { Redirect, Route, Switch } from 'wouter'
import { ErrorBoundary } from './ErrorBoundary'
import { visible } from './lib/format'
import { navigate, to, useHashPath } from './lib/hash'
import { useProjectRealtime } from './lib/live'
import type { CronProject } from './lib/rows'
import { useValue } from './lib/store'
import { chooseProject, session, signOut } from './lib/supabase'
import { ConnectionButton } from './parts/ConnectionPanel'
import { Icon } from './parts/icons'
import { Bell } from './parts/notices/Bell'
import { ProjectNotices } from './parts/ProjectNotices'
import { Nothing } from './parts/QueryState'
import { SchemeSwitch } from './parts/SchemeSwitch'

const PAGES = {
  Jobs: lazy(() => import('./pages/Jobs')),
  Job: lazy(() => import('./pages/Job')),
  Runs: lazy(() => import('./pages/Runs')),
  Run: lazy(() => import('./pages/Run')),
  Request: lazy(() => import('./pages/Request')),
  Timeline: lazy(() => import('./pages/Timeline')),
  Agents: lazy(() => import('./pages/Agents')),
  Connections: lazy(() => import('./pages/Connections')),
  Notifications: lazy(() => import('./pages/Notifications')),
  Settings: lazy(() => import('./pages/Settings')),
}

const NAV = [
  ['Jobs', to.jobs()],
  ['Runs', to.runs()],
  ['Timeline', to.timeline()],
  ['Agents', to.agents()],
  ['Connections', to.connections()],
] as const

interface Props {
  projects: CronProject[]
  projectId: string
  onSignIn: () => void
}

export function Shell({ projects, projectId, onSignIn }: Props) {
  const who = useValue(session)
  useProjectRealtime(projectId, who.kind === 'in' ? who.userId : undefined)
  return (
    <>
      <button type="button" className="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to content
      </button>
      <header className="bar">
        <div className="bar-top">
          <a className="brand" aria-label="Cronmirror, jobs" href={useHashPath.hrefs(to.jobs())}>
            <img src="./icon.svg" width={26} height={26} alt="" />
            <span>Cronmirror</span>
          </a>
          <ProjectSwitch projects={projects} projectId={projectId} />
          <Group gap="xs" ml="auto" wrap="nowrap">
            <ConnectionButton onSignIn={onSignIn} />
            <Bell />
            <SchemeSwitch />
            {who.kind === 'in' ? (
              <PersonMenu email={who.email} />
            ) : (
              <Button size="compact-sm" variant="default" onClick={onSignIn}>
                Sign in
              </Button>
            )}
          </Group>
        </div>
        <Nav />
      </header>
      <main id="main" className="page" tabIndex={-1}>
        <ProjectNotices />
        <ErrorBoundary>
          <Suspense fallback={<div aria-busy="true" />}>
            <Switch>
              <Route path="/">
                <Redirect to={to.jobs()} replace />
              </Route>
              <Route path="/jobs" component={PAGES.Jobs} />
              <Route path="/jobs/:id" component={PAGES.Job} />
              <Route path="/runs" component={PAGES.Runs} />
              <Route path="/runs/:id" component={PAGES.Run} />
              <Route path="/requests/:id" component={PAGES.Request} />
              <Route path="/timeline" component={PAGES.Timeline} />
              <Route path="/agents" component={PAGES.Agents} />
              <Route path="/connections" component={PAGES.Connections} />
              <Route path="/notifications" component={PAGES.Notifications} />
              <Route path="/settings" component={PAGES.Settings} />
              <Route>
                <Nothing title="There is no such page">The address may be mistyped.</Nothing>
              </Route>
            </Switch>
          </Suspense>
        </ErrorBoundary>
      </main>
    </>
  )
}

function Nav() {
  const [path] = useHashPath()
  return (
    <nav aria-label="Pages" className="nav">
      {NAV.map(([name, target]) => (
        <a
          key={target}
          href={useHashPath.hrefs(target)}
          aria-current={path === target || path.startsWith(`${target}/`) ? 'page' : undefined}
        >
          {name}
        </a>
      ))}
    </nav>
  )
}

function ProjectSwitch({ projects, projectId }: { projects: CronProject[]; projectId: string }) {
  if (projects.length === 1) {
    return (
      <Text size="sm" c="dimmed" truncate title={visible(projectId)}>
        <bdi>{visible(projectId)}</bdi>
      </Text>
    )
  }
  return (
    <Select
      aria-label="Project"
      size="xs"
      w={{ base: 120, sm: 190 }}
      data={projects.map((each) => ({ value: each.projectId, label: visible(each.projectId) }))}
      value={projectId}
      onChange={(chosen) => {
        if (!chosen) return
        chooseProject(chosen)
        navigate(to.jobs())
      }}
      allowDeselect={false}
      searchable={projects.length > 8}
      comboboxProps={{ width: 'max-content', position: 'bottom-start' }}
    />
  )
}

function PersonMenu({ email }: { email: string }) {
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="default" size="lg" aria-label="More">
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{visible(email)}</Menu.Label>
        <Menu.Item leftSection={<Icon name="settings" />} component="a" href={useHashPath.hrefs(to.settings())}>
          Settings
        </Menu.Item>
        <Menu.Item leftSection={<Icon name="out" />} onClick={() => void signOut()}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
