// What the tab is called: several of them are told apart by it.

import { useEffect } from 'react'
import { shorten, visible } from './format'

const NAME = 'Cronmirror'

/** "Nightly backup: running · Cronmirror", for as long as a page shows it. */
export function useTitle(words: string): void {
  useEffect(() => {
    document.title = `${shorten(visible(words), 80)} · ${NAME}`
    return () => {
      document.title = NAME
    }
  }, [words])
}
