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

/** In the page: texts whose contrast to their ground is below 4.5 (3 for large ones). */
export function contrast() {
  const parse = (text) => {
    const n = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    return { r: n[0], g: n[1], b: n[2], a: n[3] ?? 1 };
  };
  const luminance = ({ r, g, b }) => {
    const f = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.a > 0.99) return c;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest('.sr, option, script')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parse(style.color)), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = Number.parseFloat(style.fontSize);
    if (ratio < (size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700) ? 3 : 4.5)) poor.add(`${ratio.toFixed(2)} .${element.className} "${walker.currentNode.textContent.trim().slice(0, 30)}"`);
  }
  return [...poor];
}
