// Starts Debian's Chromium for the browser tests.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function launch() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(executablePath)) throw new Error(`no browser at ${executablePath}: apt-get install -y chromium, or set CHROMIUM`);
  return chromium.launch({ executablePath, args: FLAGS });
}

/** A page that keeps what went wrong in it: script errors, refused scripts and styles, failed requests that were not expected. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  page.on('pageerror', (error) => faults.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    // A refused log-in and a server that is away are part of the tests.
    if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text())) faults.push(message.text());
  });
  return { context, page, faults };
}

export async function logIn(page, url, key) {
  await page.goto(url);
  await page.fill('#key', key);
  await page.click('button[type=submit]');
  await page.waitForSelector('main .page');
}

/** Waits until `read` gives something else than it does now. */
export async function changes(read, what, timeoutMs = 20_000) {
  const before = await read();
  const end = Date.now() + timeoutMs;
  while (Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    const now = await read();
    if (now !== before) return { before, now };
  }
  throw new Error(`${what} did not change within ${timeoutMs / 1000} s: ${JSON.stringify(before)}`);
}

/** The widest thing that sticks out of the page, or null. */
export function sticksOut(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return null;
    const worst = [...document.querySelectorAll('main *, header *')]
      .map((e) => ({ e, right: e.getBoundingClientRect().right }))
      .sort((a, b) => b.right - a.right)[0];
    return `${document.documentElement.scrollWidth} > ${width}: ${worst?.e.className || worst?.e.tagName}`;
  });
}
