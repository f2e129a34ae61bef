/**
 * Compiles a project that uses the package, with `skipLibCheck` off, once with `exactOptionalPropertyTypes` and once
 * without. In one process, and without telling what is wrong in TypeScript's own and Node's declarations: parsing and
 * checking those would be nine tenths of the time.
 */
import path from 'node:path'
import ts from 'typescript'

const [folder, moduleResolution] = process.argv.slice(2)
const isBundler = moduleResolution === 'bundler'
const files = ts.sys.readDirectory(folder, ['.ts'], ['node_modules'])
const parsed = new Map()
const problems = []

for (const exactOptionalPropertyTypes of [true, false]) {
  const options = {
    target: ts.ScriptTarget.ES2022,
    module: isBundler ? ts.ModuleKind.ESNext : ts.ModuleKind.NodeNext,
    moduleResolution: isBundler ? ts.ModuleResolutionKind.Bundler : ts.ModuleResolutionKind.NodeNext,
    strict: true,
    exactOptionalPropertyTypes,
    skipLibCheck: false,
    types: ['node'],
    typeRoots: [path.join(folder, 'node_modules/@types')],
    noEmit: true,
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile } = host
  // The two programs differ only in how types are compared.
  host.getSourceFile = (file, ...more) => {
    if (!parsed.has(file)) parsed.set(file, getSourceFile.call(host, file, ...more))
    return parsed.get(file)
  }
  const program = ts.createProgram(files, options, host)
  const ours = program
    .getSourceFiles()
    .filter(({ fileName }) => !/\/(@types|undici-types|typescript)\//.test(fileName))
  const found = [
    ...program.getGlobalDiagnostics(),
    ...ours.flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]),
  ]
  if (found.length === 0) continue
  problems.push(
    `exactOptionalPropertyTypes ${exactOptionalPropertyTypes}:`,
    ts.formatDiagnostics(found, host),
  )
}
if (problems.length > 0) {
  console.log(problems.join('\n'))
  process.exitCode = 1
}
