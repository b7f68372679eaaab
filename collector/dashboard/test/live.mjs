// Against a real collector: BASE_URL=http://127.0.0.1:8080 KEY=mk_… [OUT=dir] node test/live.mjs
// Logs in, visits every page, and demands that numbers change within 20 s. Exit code 1 and one clear line if not.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { changes, launch, logIn, open, sticksOut } from './chromium.mjs';

const { BASE_URL, KEY } = process.env;
const OUT = process.env.OUT ?? fileURLToPath(new URL('../../../target/dashboard-live', import.meta.url));
if (!BASE_URL || !KEY) {
  console.error('dashboard: set BASE_URL and KEY');
  process.exit(64);
}

let browser;
let page;
let doing = 'start the browser';
try {
  mkdirSync(OUT, { recursive: true });
  browser = await launch();
  const opened = await open(browser, { ignoreHTTPSErrors: true });
  page = opened.page;
  const shot = (name) => page.screenshot({ path: join(OUT, `${name}.png`), fullPage: true });

  doing = 'log in';
  await logIn(page, BASE_URL, KEY);

  doing = 'see machines on the plant page';
  await page.waitForSelector('.row.machine', { timeout: 30_000 });
  doing = 'get the live link up';
  await page.waitForSelector('.chip.health-live', { timeout: 15_000 });
  const machines = await page.locator('.row.machine').count();
  doing = 'see numbers change on the plant page';
  const parts = await changes(() => page.locator('[data-testid=plant-parts]').textContent(), 'parts of the plant');
  await shot('plant');

  doing = 'open a producing machine';
  const producing = page.locator('.row.machine.is-producing a.machine-link');
  await ((await producing.count()) > 0 ? producing : page.locator('a.machine-link')).first().click();
  await page.waitForSelector('.chart canvas', { timeout: 30_000 });
  doing = 'see values change on the machine page';
  const values = await changes(async () => (await page.locator('[data-testid=signal-value]').allTextContents()).join(' | '), 'values of the machine');
  doing = 'see the charts filled';
  await page.waitForFunction(() => document.querySelectorAll('.chart').length > 0 && document.querySelectorAll('.chart-none').length === 0, undefined, { timeout: 20_000 });
  doing = 'see the states and hours of the shift';
  await page.waitForSelector('.timeline-track .span', { timeout: 20_000 });
  await page.waitForSelector('.hour', { timeout: 20_000 });
  await shot('machine');

  doing = 'see gateways on the fleet page';
  await page.goto(`${BASE_URL}/#/fleet`);
  await page.waitForSelector('.gateway', { timeout: 15_000 });
  doing = 'see readings grow on the fleet page';
  const stored = await changes(() => page.locator('[data-testid=stored]').textContent(), 'readings stored');
  await shot('fleet');

  doing = 'fit on a phone';
  await page.setViewportSize({ width: 360, height: 740 });
  for (const hash of ['#/plant', '#/fleet', '#/oee', '#/maintenance', '#/energy']) {
    await page.goto(`${BASE_URL}/${hash}`);
    await page.waitForSelector('main .panel');
    const wide = await sticksOut(page);
    if (wide) throw new Error(`${hash} is wider than the screen: ${wide}`);
  }
  await page.goto(`${BASE_URL}/#/plant`);
  await page.waitForSelector('.row.machine');
  await shot('plant-phone');

  doing = 'find no errors in the console';
  if (opened.faults.length > 0) throw new Error(opened.faults.join('\n'));
  console.log(`dashboard: ${machines} machines; parts ${parts.before} -> ${parts.now}; values ${values.before} -> ${values.now}; stored ${stored.before} -> ${stored.now}; screenshots in ${OUT}`);
} catch (error) {
  await page?.screenshot({ path: join(OUT, 'failed.png') }).catch(() => {});
  console.error(`dashboard: could not ${doing}: ${(error instanceof Error ? error.message : String(error)).split('\nCall log')[0]}`);
  process.exitCode = 1;
} finally {
  await browser?.close();
}
