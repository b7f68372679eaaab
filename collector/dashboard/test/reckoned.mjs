// OEE, Maintenance and Energy against a real collector, at best its demo: BASE_URL=http://127.0.0.1:8080 KEY=mk_… node --test test/reckoned.mjs
// Writes a stop reason and a comment into it. Screenshots go to OUT (default: target/dashboard of the repository).

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { energyPage, maintenancePage, oeePage, stopReason, theNewPagesFit } from './analysis.mjs';
import { contrast, launch, logIn, open } from './chromium.mjs';

const OUT = process.env.OUT ?? fileURLToPath(new URL('../../../target/dashboard', import.meta.url));
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const REAL = { url: process.env.BASE_URL?.replace(/\/$/, ''), key: process.env.KEY };
if (!REAL.url || !REAL.key) {
  console.error('dashboard: set BASE_URL and KEY of a running collector, at best of the demo');
  process.exit(64);
}

let browser;
before(async () => {
  mkdirSync(OUT, { recursive: true });
  browser = await launch();
});
after(() => browser?.close());

const shot = (page, name) => page.screenshot({ path: join(OUT, `${name}.png`), fullPage: true });

/** Runs `body` with a page that is logged in, and fails if the page reported anything wrong. */
const reckoned = (name, options, body) =>
  test(name, async (t) => {
    const { context, page, faults } = await open(browser, { ignoreHTTPSErrors: true, ...options });
    page.setDefaultTimeout(30_000);
    try {
      await logIn(page, REAL.url, REAL.key);
      await body(page, t);
      assert.deepEqual(faults, []);
    } catch (error) {
      await page.screenshot({ path: join(OUT, 'failed.png') }).catch(() => {});
      throw error;
    } finally {
      await context.close();
    }
  });

reckoned('OEE: the planned time is the sum of its parts, a machine’s timeline has intervals, and the address shows the same again', {}, async (page) => {
  await oeePage(page, REAL.url);
  await shot(page, 'oee-light');
});

reckoned('OEE: a stop is reached by keyboard, tells its cause and evidence, and shows the reason that is entered', {}, async (page, t) => {
  const done = await stopReason(page, REAL.url);
  if (!done) t.diagnostic('no machine has stopped yet: nothing could be entered');
  await shot(page, 'oee-stop-light');
});

reckoned('maintenance: every machine is ranked, with its time left or what a prediction needs; one opens to its life', {}, async (page) => {
  await maintenancePage(page, REAL.url);
  await shot(page, 'maintenance-light');
});

reckoned('energy: metered machines have used energy, and the others are named', {}, async (page) => {
  await energyPage(page, REAL.url);
  await shot(page, 'energy-light');
});

reckoned('OEE, maintenance and energy fit on a phone, in either language', PHONE, async (page) => {
  await theNewPagesFit(page, REAL.url, (name) => shot(page, name));
});

for (const colorScheme of ['light', 'dark']) {
  reckoned(`OEE, maintenance and energy: text has enough contrast, ${colorScheme}`, { colorScheme }, async (page) => {
    for (const hash of ['#/oee?period=day', '#/maintenance', '#/energy']) {
      await page.goto(`${REAL.url}/${hash}`);
      await page.waitForSelector('.page.analysis .panel');
      await page.waitForTimeout(1_500);
      assert.deepEqual(await page.evaluate(contrast), [], hash);
    }
  });
}
