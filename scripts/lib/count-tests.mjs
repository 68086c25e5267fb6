// Sums the JSON reports of vitest in a folder into the last line of scripts/test.
// count-tests.mjs FAILED-STEPS FOLDER [VITEST ARGUMENT]...
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [failedSteps, folder, ...vitestArguments] = process.argv.slice(2)
const total = { passed: 0, failed: Number(failedSteps), skipped: 0 }

for (const name of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
  const report = JSON.parse(readFileSync(join(folder, name), 'utf8'))
  total.passed += report.numPassedTests
  total.failed += report.numFailedTests
  total.skipped += report.numPendingTests + report.numTodoTests
  // A file that cannot be loaded, or whose hooks fail, has no failed test to be counted.
  for (const file of report.testResults) {
    const tests = file.assertionResults
    if (file.status === 'failed' && !tests.some((test) => test.status === 'failed')) total.failed += 1
  }
}

// With a name pattern, all others are reported as skipped; that is what was asked for.
const selected = vitestArguments.some((argument) => /^(-t|--testNamePattern)\b/.test(argument))
if (total.passed + total.failed === 0) {
  console.log('FAILED: no test ran')
  total.failed = 1
}
const skipsFail = total.skipped > 0 && !selected
if (skipsFail) console.log('FAILED: tests were skipped; a test that cannot run must fail and say why')

console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`)
process.exitCode = total.failed > 0 || skipsFail ? 1 : 0
