import { configDefaults, defineConfig } from 'vitest/config'

/**
 * Four kinds of tests; scripts/test runs each where it belongs:
 *
 * - unit: pure code, in milliseconds
 * - process: real processes, file descriptors and signals, but no process 1
 * - system: inside a private systemd (scripts/with-systemd), one file after the other; scripts/test gives each file one of its own
 * - boot: on the machine itself, booting guests of their own
 */
export default defineConfig({
  test: {
    // Forks everywhere: sd-notify cannot be used from a second thread.
    pool: 'forks',
    // A project may have no tests yet, or none for a pattern; scripts/test counts them all.
    passWithNoTests: true,
    projects: [
      // Pure code needs no process of its own for each file, which takes longer than the tests.
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'], isolate: false } },
      {
        extends: true,
        test: {
          name: 'process',
          include: ['test/process/**/*.test.ts'],
          // They mostly wait, for drains and keep-alive times: several at a time, however few processors there are.
          maxWorkers: 4,
          sequence: { groupOrder: 1 }, // vitest wants one for a number of workers of its own
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          exclude: [...configDefaults.exclude, 'test/system/**/*.boot.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'boot',
          include: ['test/system/**/*.boot.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
