import '@mantine/core/styles.css'
import '@mantine/notifications/styles.css'
import './page.css'
import { MantineProvider } from '@mantine/core'
import { Notifications } from '@mantine/notifications'
import { QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Router } from 'wouter'
import { App } from './App'
import { ErrorBoundary } from './ErrorBoundary'
import { queryClient } from './lib/cache'
import { useHashPath, useHashSearch } from './lib/hash'
import { takeReturn } from './lib/returns'
import { theme, variables } from './theme'

// Before the page asks for anything or shows anything.
takeReturn()

const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto">
        <ErrorBoundary>
          <QueryClientProvider client={queryClient}>
            <Router hook={useHashPath} searchHook={useHashSearch}>
              <App />
            </Router>
          </QueryClientProvider>
        </ErrorBoundary>
        <Notifications position="bottom-right" limit={4} />
      </MantineProvider>
    </StrictMode>,
  )
}
