/** Tests that run on this machine: each file in a process of its own, two at a time. */
import { runNode, twoAtATime } from '../project.mjs'
import { countTests } from './count.mjs'
import { addTests } from './stage.mjs'

/**
 * @param {import('./stage.mjs').Stage} stage
 * @param {readonly string[]} files
 * @param {{ env: NodeJS.ProcessEnv, timeoutSeconds: number }} options
 */
export async function runHostTests(stage, files, { env, timeoutSeconds }) {
  await twoAtATime(files, async (file) => {
    const start = performance.now()
    const source = file.replace(/^dist\//, '').replace(/\.js$/, '.ts')
    const counter = countTests(source, { filtered: env.TAP_GREP !== undefined })
    // Its last word is part of the names of the folders that tap makes for tests (t.testdir): two runs at once share none.
    const result = await runNode(['--enable-source-maps', file, String(process.pid)], { env, timeoutSeconds })
    counter.write(result.stdout)
    addTests(stage, source, counter.end(), result, start)
  })
}
