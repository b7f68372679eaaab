// Bundles test/unit/*.test.ts (node cannot read TypeScript here) and runs them with node's own test runner.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'test/unit');
// Inside of node_modules, so that it is never committed nor served.
const out = mkdtempSync(join(root, 'node_modules/.unit-'));
let status = 1;
try {
  const input = Object.fromEntries(readdirSync(folder).filter((f) => f.endsWith('.test.ts')).map((f) => [f.replace('.ts', ''), join(folder, f)]));
  await build({ root, configFile: false, logLevel: 'warn', publicDir: false, build: { ssr: true, outDir: out, emptyOutDir: true, rolldownOptions: { input } } });
  const files = readdirSync(out).filter((f) => f.endsWith('.test.js') || f.endsWith('.test.mjs')).map((f) => join(out, f));
  if (files.length !== Object.keys(input).length) throw new Error(`bundled ${files.length} of ${Object.keys(input).length} test files`);
  status = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
process.exit(status);
