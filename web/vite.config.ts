import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** JavaScript that the Jobs page loads, and all of it: what issue and tests hold us to (kB, gzip). */
const LIMITS = { jobs: 300, all: 450 }

/** Prints what the Jobs page and the whole page weigh; more than LIMITS fails the build. */
function sizes(): Plugin {
  return {
    name: 'cronmirror-sizes',
    generateBundle(_, bundle) {
      const chunks = new Map(Object.values(bundle).flatMap((each) => (each.type === 'chunk' ? [[each.fileName, each]] : [])))
      const weight = (names: Iterable<string>) =>
        [...names].reduce((sum, name) => sum + gzipSync(chunks.get(name)?.code ?? '').length, 0) / 1000
      const loaded = new Set<string>()
      const load = (name: string) => {
        if (loaded.has(name)) return
        loaded.add(name)
        for (const other of chunks.get(name)?.imports ?? []) load(other)
      }
      for (const chunk of chunks.values()) {
        if (chunk.isEntry || chunk.facadeModuleId?.endsWith('/pages/Jobs.tsx')) load(chunk.fileName)
      }
      const [jobs, all] = [weight(loaded), weight(chunks.keys())]
      const said = `JavaScript, gzip: Jobs page ${jobs.toFixed(0)} of ${LIMITS.jobs} kB, all ${all.toFixed(0)} of ${LIMITS.all} kB`
      if (jobs > LIMITS.jobs || all > LIMITS.all) this.error(said)
      this.info(said)
    },
  }
}

export default defineConfig({
  base: './',
  plugins: [react(), sizes()],
  build: {
    outDir: '../agent/control/page',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2023',
    // The first that know light-dark(); for older ones it would be taken apart wrongly in custom properties.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    reportCompressedSize: false,
    // LIMITS say it better.
    chunkSizeWarningLimit: 2000,
  },
  // One jsdom per worker, each file still in a context of its own.
  test: { environment: 'jsdom', pool: 'vmThreads', include: ['src/**/*.test.{ts,tsx}'] },
})
