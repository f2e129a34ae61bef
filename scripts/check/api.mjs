/**
 * The public API as a page that people read and git compares: every exported name of every subpath with its
 * signature, printed from the declarations that are published. A change of the API is a change of docs/api.md.
 */
import ts from 'typescript'
import { inProject } from '../project.mjs'
import { subpaths } from '../subpaths.mjs'

const printer = ts.createPrinter({ removeComments: true, newLine: ts.NewLineKind.LineFeed })

/** @returns {Promise<string>} the text of docs/api.md */
export async function describeApi() {
  const entries = await subpaths()
  const options = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    // Members of unions in an order that does not depend on what else was read.
    stableTypeOrdering: true,
    noEmit: true,
  }
  const program = ts.createProgram(
    entries.map(({ types }) => inProject(types)),
    options,
  )
  const checker = program.getTypeChecker()
  const homes = new Map()
  const pages = []
  // The root comes last: its names live in the subpaths.
  for (const entry of [...entries.slice(1), entries[0]]) {
    const file = program.getSourceFile(inProject(entry.types))
    const module = file === undefined ? undefined : checker.getSymbolAtLocation(file)
    if (module === undefined) throw new Error(`${entry.types} is missing or exports nothing`)
    const own = []
    const elsewhere = new Map()
    for (const exported of checker.getExportsOfModule(module).sort(byName)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
      const home = homes.get(symbol)
      if (home === undefined) {
        homes.set(symbol, entry.name)
        own.push(`### ${exported.name}\n\n\`\`\`ts\n${print(symbol, exported.name, checker)}\n\`\`\`\n`)
      } else elsewhere.set(home, [...(elsewhere.get(home) ?? []), `\`${exported.name}\``])
    }
    const shared = [...elsewhere].map(([home, names]) => `From \`${home}\`: ${names.join(', ')}.\n`)
    pages.push([`## ${entry.name}\n`, ...shared, ...own].join('\n'))
  }
  return [
    '# Public API\n',
    'Every name that users can import, from the published declarations. Generated: `node scripts/run.mjs check --update`.\n',
    pages.at(-1),
    ...pages.slice(0, -1),
  ].join('\n')
}

const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

function print(symbol, name, checker) {
  const declarations = symbol.declarations ?? []
  return declarations.map((declaration) => printDeclaration(declaration, name, checker)).join('\n')
}

function printDeclaration(node, name, checker) {
  const file = node.getSourceFile()
  const text = (part) => printer.printNode(ts.EmitHint.Unspecified, part, file)
  if (ts.isVariableDeclaration(node)) {
    return node.type === undefined
      ? `const ${name} = ${text(node.initializer)}`
      : `const ${name}: ${text(node.type)}`
  }
  if (ts.isInterfaceDeclaration(node) && node.heritageClauses !== undefined)
    return expanded(node, name, checker, text)
  if (ts.isClassDeclaration(node)) {
    const members = node.members
      .filter((member) => !isPrivate(member))
      .map((member) => indented(text(member)))
    const heritage = node.heritageClauses?.map((clause) => ` ${text(clause).trim()}`).join('') ?? ''
    const abstract = node.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.AbstractKeyword)
      ? 'abstract '
      : ''
    return `${abstract}class ${name}${parameters(node, text)}${heritage} {\n${members.join('\n')}\n}`
  }
  return text(node)
    .replace(/^export (default )?/, '')
    .replace(/^declare /, '')
}

const parameters = (node, text) =>
  node.typeParameters === undefined
    ? ''
    : `<${node.typeParameters.map((parameter) => text(parameter)).join(', ')}>`

/** Names of their own for inferred types (`interface Destination extends Decoded<…>`): what they hold is what counts. */
function expanded(node, name, checker, text) {
  const heritage = node.heritageClauses.map((clause) => text(clause).trim()).join(' ')
  const lines = checker.getPropertiesOfType(checker.getTypeAtLocation(node)).map((property) => {
    const optional = property.flags & ts.SymbolFlags.Optional ? '?' : ''
    const type = checker.typeToString(
      checker.getTypeOfSymbolAtLocation(property, node),
      node,
      ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope,
    )
    const readonly =
      ts.getDeclarationModifierFlagsFromSymbol(property) & ts.ModifierFlags.Readonly ? 'readonly ' : ''
    const key = /^\w+$/.test(property.name)
      ? property.name
      : property.name.replace(/^__@(\w+)@\d+$/, '[Symbol.$1]')
    return `    ${readonly}${key}${optional}: ${type};`
  })
  return `interface ${name}${parameters(node, text)} ${heritage} {\n${lines.sort().join('\n')}\n}`
}

const indented = (lines) => lines.replace(/^/gm, '    ')

function isPrivate(member) {
  if (member.name !== undefined && ts.isPrivateIdentifier(member.name)) return true
  return (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private) !== 0
}

if (process.argv[1] === import.meta.filename) process.stdout.write(await describeApi())
