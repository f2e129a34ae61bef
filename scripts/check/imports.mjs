/** What a file imports, read from its syntax tree: statements, re-exports, `import()`, and types. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import ts from 'typescript'

/**
 * @typedef {object} Import
 * @property {string} specifier
 * @property {number} line
 * @property {boolean} typeOnly  Leaves nothing in the compiled file.
 */

/** @returns {Promise<Import[]>} */
export async function importsOf(file) {
  const tree = ts.createSourceFile(file, await readFile(file, 'utf8'), ts.ScriptTarget.ES2022, true)
  const found = []
  const add = (literal, typeOnly) => {
    if (literal === undefined || !ts.isStringLiteralLike(literal)) return
    const line = tree.getLineAndCharacterOfPosition(literal.getStart(tree)).line + 1
    found.push({ specifier: literal.text, line, typeOnly })
  }
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node.importClause))
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true)
    else if (ts.isCallExpression(node) && isLoader(node.expression)) add(node.arguments[0], false)
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

/** `import type …`. With verbatimModuleSyntax `import { type A }` stays as `import {}`, which loads the file. */
function isTypeOnly(clause) {
  return clause?.phaseModifier === ts.SyntaxKind.TypeKeyword || clause?.isTypeOnly === true
}

function isLoader(expression) {
  return (
    expression.kind === ts.SyntaxKind.ImportKeyword ||
    (ts.isIdentifier(expression) && expression.text === 'require')
  )
}

/** The file that a relative specifier names: `./x.js` is `x.ts` in the source, and itself when compiled. */
export function resolveRelative(file, specifier) {
  const target = path.join(path.dirname(file), specifier)
  const source = target.replace(/\.([cm]?)js$/, '.$1ts')
  return existsSync(source) ? source : target
}

/**
 * Walks from some files along their imports.
 *
 * @param {readonly string[]} entries
 * @returns {Promise<{ files: Map<string, string | undefined>, packages: Map<string, string> }>} every file reached, with
 *   the file that first imported it; and every bare specifier that is no built-in, with the file that imports it
 */
export async function walkImports(entries) {
  const files = new Map(entries.map((file) => [file, undefined]))
  const packages = new Map()
  for (const file of files.keys()) {
    for (const { specifier, typeOnly } of await importsOf(file)) {
      if (typeOnly) continue
      if (specifier.startsWith('.')) {
        const target = resolveRelative(file, specifier)
        if (!files.has(target)) files.set(target, file)
      } else if (!specifier.startsWith('node:') && !packages.has(specifier)) packages.set(specifier, file)
    }
  }
  return { files, packages }
}
