// Several compiled test files in one process that writes TAP: in the lab a start of Node costs seconds.
import path from 'node:path'
import { pathToFileURL } from 'node:url'

for (const file of process.argv.slice(2)) await import(pathToFileURL(path.resolve(file)).href)
