// What the pages OEE, Maintenance and Energy must show of a real collector, also of one that runs for a minute only.

import assert from 'node:assert/strict';
import { sticksOut } from './chromium.mjs';

/** Paths of the machines that the collector knows. */
async function machines(page, url) {
  await page.goto(`${url}/#/plant`);
  await page.waitForSelector('.row.machine');
  return page.evaluate(async () => (await (await fetch('/api/v1/assets?limit=500')).json()).items.map((a) => a.asset));
}

const oeeAddress = (url, asset, more = '') => `${url}/#/oee?scope=${asset}&period=day${more}`;

/** Opens the page, and waits until figures or the words for none are there. */
async function openOee(page, url, asset) {
  await page.goto(oeeAddress(url, asset));
  await page.waitForFunction((name) => document.querySelector('#figures-title')?.textContent === name, asset);
}

/** Microseconds of the whole, and of its parts. */
const parts = (page) =>
  page.evaluate(() => {
    const sum = (role) => [...document.querySelectorAll(`.waterfall > .role-${role}`)].reduce((s, e) => s + Number(e.dataset.micros), 0);
    return { whole: sum('whole'), parts: sum('loss') + sum('rest') + sum('undivided') };
  });

export async function oeePage(page, url) {
  const [asset] = await machines(page, url);
  assert.ok(asset, 'a machine is known');
  const site = asset.split('/')[0];
  await openOee(page, url, site);
  assert.ok((await page.locator('.scope-tree a').count()) >= 2, 'the tree has the site and what is below it');
  await page.waitForSelector('.waterfall');
  const { whole, parts: sum } = await parts(page);
  assert.ok(whole > 0, 'some time was planned');
  assert.equal(sum, whole, 'the planned time is the sum of its parts');
  await page.locator('.behind summary').first().click();
  await page.waitForSelector('.behind table tbody tr');

  await openOee(page, url, asset);
  await page.waitForSelector('.cause-timeline .span');
  assert.match(await page.locator('.cause-timeline .span').first().getAttribute('aria-label'), /\d\d:\d\d:\d\d/);
  const address = page.url();
  await page.reload();
  await page.waitForSelector('.cause-timeline .span');
  assert.equal(page.url(), address);

  // A wish is answered in points, or it is said that nothing can be told.
  const slider = page.locator('.what-if input[type=range]').first();
  await slider.focus();
  for (let i = 0; i < 6; i++) await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.querySelector('.what-if-gain .big, .what-if-gain .note')?.textContent);
  assert.equal(await page.locator('.what-if-gain .note').count(), 0, 'the wish is not refused');
}

/** `false`: no machine has stopped. */
export async function stopReason(page, url) {
  const all = await machines(page, url);
  await page.evaluate(async () => {
    const path = '/api/v1/stop-reasons';
    const known = await (await fetch(path)).json();
    if (known.items.length > 0) return;
    const items = [
      { code: 'MECH', name: 'Mechanical', category: 'breakdowns' },
      { code: 'MECH-1', name: 'Bearing too hot', parent: 'MECH' },
    ];
    await fetch(path, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ items }) });
  });
  const kinds = ['unplanned_stop', 'idle', 'minor_stop', 'setup', 'offline'];
  const stops = kinds.map((k) => `.cause-timeline .span.state-${k}`).join();
  for (const asset of all.slice(0, 12)) {
    await openOee(page, url, asset);
    await page.waitForSelector('.cause-timeline .span');
    if ((await page.locator(stops).count()) === 0) continue;
    // The last but one has ended; the newest may still grow.
    const stop = page.locator(stops).nth(Math.max(0, (await page.locator(stops).count()) - 2));
    await stop.focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('.stop-panel');
    await page.waitForFunction(() => location.hash.includes('stop='));
    assert.ok((await page.locator('.stop-panel dd').first().textContent()).length > 5, 'the rule is told in words');
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=stop-reason] option').length > 1);
    const code = await page.locator('[data-testid=stop-reason] option').nth(1).getAttribute('value');
    await page.selectOption('[data-testid=stop-reason]', code);
    const comment = `browser test ${Date.now()}`;
    await page.locator('.reason input[maxlength="500"]').fill(comment);
    await page.locator('.reason button[type=submit]').click();
    await page.waitForSelector('.stop-panel .note.done');
    await page.waitForFunction((text) => document.querySelector('[data-testid=stop-said]')?.textContent?.includes(text), comment);
    return true;
  }
  return false;
}

export async function maintenancePage(page, url) {
  const all = await machines(page, url);
  await page.goto(`${url}/#/maintenance`);
  // Every machine is ranked; one that has just come is so at the next round, a minute later.
  await page.waitForFunction((n) => document.querySelectorAll('.ranked-row').length >= n, Math.min(40, all.length), { timeout: 75_000 });
  assert.ok((await page.locator('.ranked-row').count()) <= 40, 'so many rows at the most');
  const texts = await page.locator('.ranked-row').allTextContents();
  for (const text of texts) assert.ok(!/NaN|undefined|Infinity/.test(text), text);
  // Without a prediction it is said what is missing; with one there is a line for it.
  for (const row of await page.locator('.ranked-row').all()) {
    const told = (await row.locator('.life-median').count()) === 1;
    if (!told) assert.match(await row.textContent(), /No prediction/);
  }
  await page.locator('.ranked-name').first().click();
  await page.waitForSelector('[data-testid=maintenance-detail] .facts-grid');
  assert.match(page.url(), /asset=/);
  const comment = `browser test ${Date.now()}`;
  const form = page.locator('[data-testid=maintenance-detail] [data-testid=report-event]');
  await form.locator('select').first().selectOption('comment');
  await form.locator('.grow input').fill(comment);
  await form.locator('button[type=submit]').click();
  await page.waitForFunction((text) => document.querySelector('[data-testid=events]')?.textContent?.includes(text), comment);
  await page.waitForSelector('.models');
}

export async function energyPage(page, url) {
  const [asset] = await machines(page, url);
  await page.goto(`${url}/#/energy?scope=${asset.split('/')[0]}&period=day`);
  await page.waitForSelector('[data-testid=energy-kwh]');
  const kwh = Number((await page.locator('[data-testid=energy-kwh]').textContent()).replace(/[^\d.]/g, ''));
  const unmetered = await page.locator('[data-testid=unmetered] li').count();
  assert.ok(kwh > 0 || unmetered > 0, 'there is energy, or it is said which machines have no meter');
  if (kwh > 0) {
    await page.waitForSelector('.state-bars .stack i');
    await page.waitForSelector('.time-lines canvas');
  }
}

export async function theNewPagesFit(page, url, shot) {
  const [asset] = await machines(page, url);
  for (const language of ['en', 'pt']) {
    await page.selectOption('.language select', language);
    for (const [name, hash, ready] of [
      ['oee', '#/oee?period=day', '[data-testid=oee-total]'],
      ['oee-machine', `#/oee?period=shift&scope=${asset}`, '[data-testid=oee-total]'],
      ['maintenance', `#/maintenance?asset=${asset}`, '[data-testid=maintenance-detail]'],
      ['energy', '#/energy', '.page.energy-page .panel'],
    ]) {
      await page.goto(`${url}/${hash}`);
      await page.waitForSelector(ready);
      await page.waitForTimeout(1_200);
      assert.equal(await sticksOut(page), null, `${name} in ${language}`);
      await shot(`${name}-phone-${language}`);
    }
  }
}
