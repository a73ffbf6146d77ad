// A value that changes and can be watched, by React (useValue) and by anybody else.

import { useSyncExternalStore } from 'react'

export interface Store<T> {
  get(): T
  set(value: T): void
  watch(listener: () => void): () => void
}

export function store<T>(initial: T): Store<T> {
  let value = initial
  const listeners = new Set<() => void>()
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return
      value = next
      for (const listener of [...listeners]) listener()
    },
    watch(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** The value of a store, kept current. */
export function useValue<T>(source: Store<T>): T {
  return useSyncExternalStore(source.watch, source.get)
}

/** Storage may be forbidden (private windows, file://); then nothing is remembered. */
export const memory = {
  read(key: string): string | undefined {
    try {
      return localStorage.getItem(key) ?? undefined
    } catch {
      return undefined
    }
  },
  /** What is kept under names that begin so: the rest of the name, and the text. */
  entries(prefix: string): [string, string][] {
    try {
      const found = Object.entries(localStorage as unknown as Record<string, string>)
      return found.flatMap(([key, text]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), text]] : []))
    } catch {
      return []
    }
  },
  write(key: string, value: string | undefined): void {
    try {
      if (value === undefined) localStorage.removeItem(key)
      else localStorage.setItem(key, value)
    } catch {
      // Not remembered: the page works without.
    }
  },
}
