import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeriesBuffer, stepFor } from '../../src/model/series.ts';

const iso = (s: number) => new Date(s * 1000).toISOString();
const summary = (start: number, count: number, mean: number) => ({ start: iso(start), count, min: mean - 1, max: mean + 1, mean });

test('summaries of one bucket are merged by their counts', () => {
  const b = new SeriesBuffer(60, 10);
  b.push(summary(120, 10, 1));
  b.push(summary(125, 30, 3));
  assert.deepEqual(b.columns(0, 1000), { at: [120], min: [0], max: [4], mean: [2.5] });
});

test('the oldest bucket goes when it is full, and late ones find their place', () => {
  const b = new SeriesBuffer(5, 4);
  for (const at of [100, 105, 115, 120, 125]) b.push(summary(at, 1, at));
  assert.equal(b.length, 4);
  b.push(summary(110, 1, 110));
  assert.deepEqual(b.columns(0, 1000).at, [110, 115, 120, 125]);
  b.push(summary(50, 1, 50));
  assert.deepEqual(b.columns(0, 1000).at, [110, 115, 120, 125], 'older than all that is kept');
});

test('after many rounds of the ring the order and the values still hold', () => {
  const b = new SeriesBuffer(5, 7);
  for (let at = 0; at < 5 * 50; at += 5) b.push(summary(at, 1, at));
  const c = b.columns(0, 1000);
  assert.deepEqual(c.at, [215, 220, 225, 230, 235, 240, 245]);
  assert.deepEqual(c.mean, c.at);
});

test('a hole becomes a null row, so that no line is drawn across it', () => {
  const b = new SeriesBuffer(5, 100);
  for (const at of [0, 5, 10, 60, 65]) b.push(summary(at, 1, 1));
  const c = b.columns(0, 1000);
  assert.deepEqual(c.at, [0, 5, 10, 15, 60, 65]);
  assert.equal(c.mean[3], null);
  assert.ok(c.at.every((v, i) => i === 0 || v > (c.at[i - 1] as number)));
});

test('history replaces what was there; points without a value are holes', () => {
  const b = new SeriesBuffer(60, 10);
  b.push(summary(0, 1, 9));
  b.fill([
    { at: iso(60), count: 3, min: 1, max: 2, mean: 1.5 },
    { at: iso(120), count: 0, min: null, max: null, mean: null },
    { at: iso(180), count: 3, min: 1, max: 2, mean: 1.5 },
  ]);
  assert.deepEqual(b.columns(0, 1000).at, [60, 180]);
});

test('only buckets that touch the period are given', () => {
  const b = new SeriesBuffer(60, 100);
  for (let at = 0; at <= 600; at += 60) b.push(summary(at, 1, 1));
  assert.deepEqual(b.columns(130, 250).at, [120, 180, 240]);
});

test('malformed summaries are left out', () => {
  const b = new SeriesBuffer(5, 10);
  b.push({ start: 'yesterday', count: 1, min: 0, max: 0, mean: 0 });
  b.push({ start: iso(5), count: 0, min: 0, max: 0, mean: 0 });
  b.push({ start: iso(5), count: 1, min: 0, max: 0, mean: Number.NaN });
  assert.equal(b.length, 0);
});

test('steps give about 400 points and never go below the window', () => {
  assert.equal(stepFor(60), 5);
  assert.equal(stepFor(900), 5);
  assert.equal(stepFor(3600), 10);
  assert.equal(stepFor(28_800), 120);
  assert.equal(stepFor(86_400), 300);
  for (const period of [900, 3600, 28_800, 86_400, 604_800]) assert.ok(period / stepFor(period) <= 420);
});
