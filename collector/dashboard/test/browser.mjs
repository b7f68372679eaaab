// The pages in a real browser against the mock collector. Screenshots go to OUT (default: target/dashboard of the repository).
// What is reckoned (OEE, Maintenance, Energy) is looked at with a real collector: reckoned.mjs.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { KEY, MockServer } from '../mock/server.mjs';
import { changes, contrast, launch, logIn, open, sticksOut } from './chromium.mjs';

const OUT = process.env.OUT ?? fileURLToPath(new URL('../../../target/dashboard', import.meta.url));
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let browser;
let server;

before(async () => {
  mkdirSync(OUT, { recursive: true });
  server = await new MockServer().listen();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const shot = (page, name) => page.screenshot({ path: join(OUT, `${name}.png`), fullPage: true });
/** The link can be up before the first answer is drawn: waits for both. */
async function live(page, machines = 12) {
  await page.waitForSelector('.chip.health-live');
  await page.waitForFunction((n) => document.querySelectorAll('.row.machine').length === n, machines);
}
const row = (page, name) => page.locator('.row.machine', { has: page.locator(`a.machine-link:text-is("${name}")`) });

/** Runs `body` with a page that is logged in, and fails if the page reported anything wrong. */
async function inside(options, body, on = server) {
  const { context, page, faults } = await open(browser, options);
  try {
    await logIn(page, on.url, KEY);
    await body(page);
    assert.deepEqual(faults, []);
  } catch (error) {
    await page.screenshot({ path: join(OUT, 'failed.png') }).catch(() => {});
    throw error;
  } finally {
    await context.close();
  }
}

test('a wrong key is refused in words, the right one leads to the plant', async () => {
  const { context, page } = await open(browser);
  await page.goto(server.url);
  await shot(page, 'login-light');
  await page.click('button[type=submit]');
  await page.waitForSelector('#key-error:not(:empty)');
  await page.fill('#key', 'mk_wrong');
  await page.click('button[type=submit]');
  await page.waitForFunction(() => document.querySelector('#key-error')?.textContent?.includes('does not know'));
  await page.fill('#key', ` ${KEY}\n`);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.row.machine');
  assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage }).includes('mk_')), false, 'the key is not kept');
  await context.close();
});

test('plant: numbers change by themselves, the abnormal stands out in words, nothing breaks the content security policy', async () => {
  await inside({}, async (page) => {
    await live(page);
    await changes(() => page.locator('[data-testid=plant-parts]').textContent(), 'the plant’s parts');
    await changes(() => row(page, 'press-1').locator('[data-testid=parts]').textContent(), 'the parts of press-1');
    assert.match(await row(page, 'mill-2').textContent(), /Unplanned stop.*tool break/);
    assert.match(await row(page, 'press-3').textContent(), /No fresh data/);
    assert.match(await page.locator('.verdict').textContent(), /1 machine is stopped.*1 machine sends no fresh data/);
    await shot(page, 'plant-light');
    await page.click('.count.stopped');
    await page.waitForFunction(() => document.querySelectorAll('.row.machine').length === 1);
    await page.click('.count.stopped');
    await page.fill('input[type=search]', 'line2 press');
    await page.waitForFunction(() => document.querySelectorAll('.row.machine').length === 3);
    assert.match(page.url(), /filter=line2\+press/);
  });
});

test('keyboard: skip link, arrow keys to a machine, Enter opens it, focus lands on its name', async () => {
  await inside({}, async (page) => {
    await page.waitForSelector('.row.machine');
    await page.reload();
    await page.waitForSelector('.row.machine');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(() => document.activeElement?.classList.contains('machine-link'))) break;
    }
    const focused = () => page.evaluate(() => document.activeElement?.textContent);
    assert.equal(await focused(), 'mill-1');
    await page.keyboard.press('ArrowDown');
    assert.equal(await focused(), 'mill-2');
    await page.keyboard.press('End');
    assert.equal(await focused(), 'press-6');
    await page.keyboard.press('Home');
    assert.equal(await focused(), 'mill-1');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.page.machine h1:text-is("mill-2")');
    await page.waitForFunction(() => document.activeElement?.tagName === 'H1');
  });
});

test('machine: live charts, shared period in the address, states, hours, and each number opens to its cause', async () => {
  await inside({}, async (page) => {
    await row(page, 'press-1').locator('a.machine-link').click();
    await page.waitForSelector('.chart canvas');
    await page.waitForFunction(() => document.querySelectorAll('.chart-none').length === 0 && document.querySelectorAll('.chart').length === 3);
    // Something is drawn in the line's colour region of each plot.
    const drawn = await page.evaluate(() =>
      [...document.querySelectorAll('.chart canvas')].map((c) => {
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let i = 3; i < data.length; i += 4) if (data[i] > 200) n++;
        return n;
      }),
    );
    assert.ok(drawn.every((n) => n > 500), `pixels drawn: ${drawn}`);
    await changes(() => page.locator('[data-testid=signal-value]').first().textContent(), 'the first signal’s value');
    await changes(() => page.locator('.chart .readout').first().textContent(), 'the readout of the first chart');

    // One stop for Tab, arrows go along the strip.
    const last = page.locator('.timeline-track .span[tabindex="0"]');
    await last.focus();
    await page.waitForSelector('.tip');
    await page.keyboard.press('ArrowLeft');
    assert.match(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), /\d\d:\d\d:\d\d/);

    await page.click('[data-testid=machine-oee]');
    await page.waitForSelector('.explain .sums');
    assert.match(await page.locator('.explain').textContent(), /producing ÷ .* planned/);
    await page.click('.explain header button');
    await page.locator('.hour').first().click();
    await page.waitForSelector('.explain');
    await shot(page, 'machine-light');

    // Keyboard on a chart: cursor, moment, zoom.
    await page.locator('.plot').first().focus();
    for (let i = 0; i < 5; i++) await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => location.hash.includes('at='));
    await page.keyboard.press('+');
    await page.waitForFunction(() => location.hash.includes('from=') && location.hash.includes('at='));
    const address = page.url();
    const period = await page.locator('.period').textContent();
    await page.reload();
    await page.waitForSelector('.chart canvas');
    assert.equal(page.url(), address);
    assert.equal(await page.locator('.period').textContent(), period, 'a link shows the same period');
    await page.click('text=Back to live');
    await page.waitForFunction(() => location.hash.includes('range=15m'));

    // Dragging on one chart moves all of them.
    await page.locator('.chart .u-over').nth(1).scrollIntoViewIfNeeded();
    const box = await page.locator('.chart .u-over').nth(1).boundingBox();
    await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await page.waitForFunction(() => location.hash.includes('from='));

    for (const preset of ['1 h', 'Shift', '24 h']) {
      await page.click(`.segments button:text-is("${preset}")`);
      await page.waitForFunction((p) => document.querySelector('.charts [aria-pressed=true]')?.textContent === p, preset);
    }
    await page.waitForTimeout(1_000);
    await shot(page, 'machine-24h');
  });
});

test('machine without fresh data looks stale, an unknown one is said to be unknown', async () => {
  await inside({}, async (page) => {
    await row(page, 'press-3').locator('a.machine-link').click();
    await page.waitForSelector('.page.machine.is-stale');
    assert.match(await page.locator('.state-now').textContent(), /No fresh data/);
    await page.waitForTimeout(800);
    await shot(page, 'machine-stale');
    await page.goto(`${server.url}/#/machine/plant1/none/none/none`);
    await page.waitForSelector('text=Nothing is known of plant1/none/none/none');
  });
});

test('fleet: one line says what became of the readings of each gateway; it opens to the account, and a reason leads to its losses', async () => {
  await inside({}, async (page) => {
    await page.click('nav >> text=Fleet');
    await page.waitForSelector('.gateway');
    await changes(() => page.locator('[data-testid=stored]').textContent(), 'the readings stored');
    await page.waitForFunction(() => /\d/.test(document.querySelector('[data-testid=rate]')?.textContent ?? ''));
    const mill = page.locator('.gateway', { has: page.locator('h2', { hasText: 'mill-gw1' }) });
    assert.match(await mill.locator('h2').textContent(), /In flight[\d,]+ stored, 42 lost \(and 1 range of unknown size\), 0 twice, 12 late/);
    assert.equal(await page.locator('.account').count(), 0, 'one line each, until one is opened');
    await shot(page, 'fleet-light');

    await mill.locator('button').focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('.account');
    assert.match(page.url(), /open=mill-gw1/);
    assert.equal(await mill.locator('button').getAttribute('aria-expanded'), 'true');
    const booked = async (label) => Number((await mill.locator('.ledger tr', { hasText: label }).locator('td.num').textContent()).replace(/\D/g, ''));
    // Read in one go: the figures move on.
    const rows = Object.fromEntries(
      await mill.locator('.ledger tr').evaluateAll((all) => all.map((r) => [r.querySelector('th').textContent, Number(r.querySelector('td').textContent.replace(/\D/g, ''))])),
    );
    assert.equal(rows['Taken in'], rows.Stored + rows['On the way'] + rows['Unaccounted for'], JSON.stringify(rows));
    assert.equal(await booked('Lost'), 42);
    assert.match(await mill.locator('.facts-grid').textContent(), /durable.*3 generations on disk.*Written to disk today\s*\d/);
    assert.match(await mill.locator('.reasons').textContent(), /Gap in the sender’s sequence36\d\d:/);
    assert.match(await mill.locator('.reasons').textContent(), /Power cut or kill.*unknown/);
    await page.waitForTimeout(400);
    await shot(page, 'fleet-open-light');

    await mill.locator('.reasons a', { hasText: 'Power cut' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.loss-table tbody tr').length === 1);
    assert.match(page.url(), /open=mill-gw1&gateway=mill-gw1&reason=power_cut/);
    assert.match(await page.locator('.loss-table tbody tr').textContent(), /4\.2.s.*mill-gw1.*Power cut or kill.*unknown/);
    await page.waitForFunction(() => document.activeElement?.id === 'losses-title');
    await page.selectOption('.loss-filter select >> nth=1', '');
    await page.waitForFunction(() => document.querySelectorAll('.loss-table tbody tr').length === 3);
    await page.reload();
    await page.waitForSelector('.account');
    await page.locator('.gateway.is-online button[aria-expanded=true]').focus();
    await page.keyboard.press('Space');
    await page.waitForSelector('.account', { state: 'detached' });
  });
});

test('fleet: what does not come out even, and who is away, is said in words; an older collector’s gateways are not known rather than well', async () => {
  const uneven = await new MockServer({ gateways: 3, unaccountedAt: 0 }).listen();
  await inside(
    {},
    async (page) => {
      await page.click('nav >> text=Fleet');
      await page.waitForSelector('.gateway.is-unaccounted');
      assert.match(await page.locator('[data-testid=verdict]').textContent(), /Unaccounted for/);
      assert.match(await page.locator('.gateway', { hasText: 'press-gw1' }).locator('.alarms').textContent(), /Readings are unaccounted for · since .* · 17 readings/);
      assert.match(await page.locator('.gateway', { hasText: 'paint-gw1' }).locator('.alarms').textContent(), /Offline · since/);
      await page.locator('.gateway', { hasText: 'paint-gw1' }).locator('button').click();
      await page.waitForSelector('.account');
      assert.match(await page.locator('.account').textContent(), /0.% of 1\.1.GB · 61\.5.h left without a collector/);
      await shot(page, 'fleet-uneven-light');
      assert.deepEqual(await page.evaluate(contrast), []);

      uneven.old = true;
      await page.reload();
      await page.waitForSelector('.gateway.is-unknown');
      assert.match(await page.locator('.gateway', { hasText: 'mill-gw1' }).locator('h2').textContent(), /Not known[\d,]+ stored, 42 lost, – twice, – late/);
      assert.match(await page.locator('.gateway', { hasText: 'paint-gw1' }).locator('.alarms').textContent(), /Offline/);
    },
    uneven,
  ).finally(() => uneven.close());
});

test('a silent link is called stale and heals by itself', async () => {
  await inside({}, async (page) => {
    await page.waitForSelector('.chip.health-live');
    server.silent = true;
    try {
      await page.waitForSelector('.banner-stale', { timeout: 12_000 });
      assert.match(await page.locator('.banner').textContent(), /Stale\..*no sign of life for \d+/);
      await shot(page, 'plant-stale');
    } finally {
      server.silent = false;
    }
    await page.waitForSelector('.banner', { state: 'detached', timeout: 20_000 });
    await page.waitForSelector('.chip.health-live');
  });
});

test('a stopped collector is told plainly and announced; when it is back the page goes on and fetches what it missed', async () => {
  const own = await new MockServer().listen();
  const { port } = own;
  await inside(
    {},
    async (page) => {
      await live(page);
      await own.close();
      await page.waitForSelector('.banner-down', { timeout: 20_000 });
      assert.match(await page.locator('.banner').textContent(), /No link\..*not answered since \d\d:\d\d:\d\d/);
      assert.match(await page.locator('[data-testid=link-say]').textContent(), /No link\. The collector has not answered/);
      assert.equal(await page.locator('.row.machine').count(), 12, 'the last numbers stay');
      await shot(page, 'plant-down');
      let fetched = 0;
      page.on('request', (r) => {
        if (r.url().includes('/api/v1/assets')) fetched++;
      });
      await own.listen(port);
      await page.waitForSelector('.banner', { state: 'detached', timeout: 40_000 });
      await page.waitForSelector('.chip.health-live');
      await changes(() => page.locator('[data-testid=plant-parts]').textContent(), 'the plant’s parts after the gap');
      for (let i = 0; i < 20 && fetched === 0; i++) await page.waitForTimeout(500);
      assert.ok(fetched >= 1, 'the overview was fetched anew');
    },
    own,
  ).finally(() => own.close());
});

test('an overview that could not be fetched is said, and fetched again while the link is up, and nothing else is', async () => {
  await inside({}, async (page) => {
    await live(page);
    let refuses = true;
    let asked = [];
    await page.route('**/api/v1/assets?*', (route) => {
      asked.push(Date.now());
      if (!refuses) return route.continue();
      return route.fulfill({ status: 503, contentType: 'application/problem+json', headers: { 'retry-after': '4' }, body: JSON.stringify({ title: 'Busy', detail: 'The store is busy.' }) });
    });
    const again = async (times) => {
      for (let i = 0; i < 60 && asked.length < times; i++) await page.waitForTimeout(500);
      assert.ok(asked.length >= times, `it was asked ${asked.length} times`);
    };
    await page.reload();
    await page.waitForSelector('.chip.health-live');
    await page.waitForSelector('text=Could not be loaded: The store is busy.');
    await again(2);
    assert.ok(asked[1] - asked[0] >= 3_900, `not before the time that was told: ${asked[1] - asked[0]} ms`);
    refuses = false;
    await live(page);

    // A machine that the live link tells of is shown meanwhile, and its history is not fetched over and over.
    refuses = true;
    asked = [];
    let histories = 0;
    page.on('request', (r) => {
      if (r.url().includes('/api/v1/states')) histories++;
    });
    await page.goto(`${server.url}/#/machine/plant1/machining/line1/mill-1`);
    await page.reload();
    await page.waitForSelector('.chart canvas');
    histories = 0;
    await again(3);
    assert.equal(histories, 0);
  });
});

test('phone: nothing sticks out sideways on any page, in either language', async () => {
  await inside(PHONE, async (page) => {
    for (const language of ['en', 'pt']) {
      await page.selectOption('.language select', language);
      for (const [name, hash, ready] of [
        ['plant', '#/plant', '.row.machine'],
        ['machine', '#/machine/plant1/machining/line1/mill-2', '.chart canvas'],
        ['fleet', '#/fleet', '.gateway'],
        ['fleet-open', '#/fleet?open=mill-gw1', '.account'],
      ]) {
        await page.goto(`${server.url}/${hash}`);
        await page.waitForSelector(ready);
        await page.waitForTimeout(700);
        assert.equal(await sticksOut(page), null, `${name} in ${language}`);
        await shot(page, `${name}-phone-${language}`);
      }
    }
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'pt');
    assert.match(await page.locator('main').textContent(), /Leituras recebidas/);
  });
});

test('dark: follows the system, can be overruled, and is remembered', async () => {
  await inside({ colorScheme: 'dark' }, async (page) => {
    const light = () =>
      page.evaluate(() => {
        const [r, g, b] = getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number);
        return (r + g + b) / 3 > 128;
      });
    assert.equal(await light(), false);
    await page.waitForSelector('.row.machine');
    await shot(page, 'plant-dark');
    await row(page, 'press-1').locator('a.machine-link').click();
    await page.waitForSelector('.chart canvas');
    await page.waitForTimeout(800);
    await shot(page, 'machine-dark');
    await page.goto(`${server.url}/#/fleet`);
    await page.waitForSelector('.gateway');
    await shot(page, 'fleet-dark');
    await page.locator('.gateway button').nth(1).click();
    await page.waitForSelector('.account');
    await page.waitForTimeout(400);
    assert.deepEqual(await page.evaluate(contrast), []);
    await shot(page, 'fleet-open-dark');
    await page.click('button.theme');
    assert.equal(await light(), true);
    await page.reload();
    await page.waitForSelector('.gateway');
    assert.equal(await light(), true);
  });
});

test('text has enough contrast, light and dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await inside({ colorScheme }, async (page) => {
      await page.waitForSelector('.row.machine');
      const poor = await page.evaluate(contrast);
      assert.deepEqual(poor, [], colorScheme);
    });
  }
});

test('a thousand machines: few rows in the document, quick to filter, the last one reached by keyboard', async () => {
  const large = await new MockServer({ machines: 1000 }).listen();
  await inside(
    {},
    async (page) => {
      await page.waitForSelector('.row.machine');
      const rows = await page.locator('.row.machine').count();
      assert.ok(rows < 80, `${rows} rows are drawn`);
      assert.match(await page.locator('.shown').textContent(), /1000 of 1000|1,000 of 1,000/);
      await page.locator('.machine-link').first().focus();
      await page.keyboard.press('End');
      await page.waitForFunction(() => document.activeElement?.textContent === 'press-500');
      await page.waitForTimeout(300);
      await page.screenshot({ path: join(OUT, 'plant-1000.png') });
      await page.fill('input[type=search]', 'mill-37');
      await page.waitForFunction(() => document.querySelectorAll('.row.machine').length === 11);
      await page.fill('input[type=search]', '');
      await changes(() => page.locator('.row.machine [data-testid=parts]').first().textContent(), 'a row among a thousand', 40_000);
    },
    large,
  ).finally(() => large.close());
});
