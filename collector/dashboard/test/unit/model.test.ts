import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Asset } from '../../src/api/types.ts';
import { list } from '../../src/model/listing.ts';
import { MAX_PERIOD_MS, MIN_PERIOD_MS, pan, periodOf, sane, zoom } from '../../src/model/range.ts';
import { applyChange, clip, extend, parseSpans, totals } from '../../src/model/timeline.ts';
import { stack, visible } from '../../src/model/window.ts';
import { machineHref, momentHref, parseRoute, plantHref } from '../../src/route.ts';

const span = (from: number, to: number, state: 'producing' | 'idle' | 'unplanned_stop') => ({ from, to, state, reason: '' });

test('a live change ends the state before it and drops what was thought to come after', () => {
  const spans = [span(0, 100, 'producing'), span(100, 200, 'idle')];
  assert.deepEqual(applyChange(spans, 150, 'unplanned_stop', 'jam'), [
    span(0, 100, 'producing'),
    span(100, 150, 'idle'),
    { from: 150, to: 150, state: 'unplanned_stop', reason: 'jam' },
  ]);
  assert.equal(applyChange(spans, 120, 'idle', ''), spans, 'the same state again is no change');
  assert.deepEqual(applyChange([], 5, 'idle', ''), [{ from: 5, to: 5, state: 'idle', reason: '' }]);
});

test('the last state stands until now; clipping keeps the edges; totals add up', () => {
  const spans = extend([span(0, 100, 'producing'), span(100, 110, 'idle')], 200);
  assert.deepEqual(clip(spans, 50, 150), [span(50, 100, 'producing'), span(100, 150, 'idle')]);
  assert.deepEqual([...totals(spans)], [
    ['producing', 100],
    ['idle', 100],
  ]);
});

test('spans come in order and empty ones are left out', () => {
  const at = (s: number) => new Date(s).toISOString();
  const spans = parseSpans([
    { from: at(10), to: at(20), state: 'idle', stop_reason: null },
    { from: at(5), to: at(5), state: 'setup', stop_reason: null },
    { from: at(0), to: at(10), state: 'producing', stop_reason: 'x' },
  ]);
  assert.deepEqual(spans.map((s) => s.state), ['producing', 'idle']);
});

test('a period that is zoomed, moved or reversed stays usable', () => {
  const period = { from: 1_000_000, to: 2_000_000 };
  assert.deepEqual(zoom(period, 0.5), { from: 1_250_000, to: 1_750_000 });
  assert.deepEqual(zoom(period, 0.5, 1_000_001).from >= period.from, true);
  assert.deepEqual(pan(period, -0.5), { from: 500_000, to: 1_500_000 });
  assert.deepEqual(sane({ from: 2_000_000, to: 1_000_000 }), period);
  assert.equal(sane({ from: 0, to: 1 }).to - sane({ from: 0, to: 1 }).from, MIN_PERIOD_MS);
  assert.equal(sane({ from: 0, to: 1e12 }).to - sane({ from: 0, to: 1e12 }).from, MAX_PERIOD_MS);
});

test('presets follow the clock, a fixed period does not', () => {
  const now = 1_000_000_000;
  const preset = (p: '15m' | '1h' | 'shift' | '24h') => periodOf({ preset: p, from: null, to: null, at: null }, now, { from: now - 100_000, to: now + 50 });
  assert.deepEqual(preset('15m'), { from: now - 900_000, to: now });
  assert.deepEqual(preset('24h'), { from: now - 86_400_000, to: now });
  assert.deepEqual(preset('shift'), { from: now - 100_000, to: now });
  assert.deepEqual(periodOf({ preset: null, from: 5, to: 9, at: null }, now, null), { from: 5, to: 9 });
});

test('a link to a moment survives the way through the address', () => {
  const asset = 'plant1/press-shop/line2/press-7';
  const at = Date.parse('2026-03-29T01:30:00.123Z');
  const route = parseRoute(momentHref(asset, at));
  assert.deepEqual(route, { page: 'machine', asset, view: { preset: null, from: at - 150_000, to: at + 150_000, at } });
  assert.deepEqual(parseRoute(machineHref(asset, { preset: 'shift' })), { page: 'machine', asset, view: { preset: 'shift', from: null, to: null, at: null } });
  assert.equal(parseRoute(`#/machine/${encodeURIComponent(asset)}`).page, 'machine');
});

test('a broken address leads to the plant or to the default, never to an error', () => {
  assert.deepEqual(parseRoute('#/machine/%E0%A4%A'), { page: 'plant', filter: '', only: '' });
  assert.deepEqual(parseRoute(''), { page: 'plant', filter: '', only: '' });
  const route = parseRoute('#/machine/a/b/c/d?from=never&to=2026-01-01T00:00:00Z&range=99y');
  assert.ok(route.page === 'machine' && route.view.preset === '15m' && route.view.from === null);
  assert.deepEqual(parseRoute(plantHref('press 7', 'stale')), { page: 'plant', filter: 'press 7', only: 'stale' });
});

test('a window of a thousand rows holds just the rows that touch it', () => {
  const tops = stack(Array.from({ length: 1000 }, (_, i) => (i % 10 === 0 ? 40 : 46)));
  const [first, last] = visible(tops, 10_000, 10_800);
  assert.ok(tops[first + 1]! > 10_000 && tops[first]! <= 10_000);
  assert.ok(tops[last]! >= 10_800 && tops[last - 1]! < 10_800);
  assert.deepEqual(visible(tops, -500, 0), [0, 0]);
  assert.deepEqual(visible(stack([]), 0, 100), [0, 0]);
  assert.equal(visible(tops, tops.at(-1)! - 10, 1e9)[1], 1000);
});

function asset(path: string, more: Partial<Asset> = {}): Asset {
  const [site = '', area = '', line = '', machine = ''] = path.split('/');
  return {
    asset: path,
    site,
    area,
    line,
    machine,
    gateway: null,
    online: true,
    stale: false,
    state: 'producing',
    state_since: null,
    stop_reason: null,
    ideal_cycle_time_s: null,
    signals: [],
    shift: null,
    oee: null,
    parts: null,
    last_anomaly: null,
    ...more,
  };
}

test('the list is grouped by line, filtered by all words, and ordered by OEE on request', () => {
  const oee = (v: number) => ({ availability: 1, performance: v, quality: 1, oee: v });
  const all = [
    asset('p/a/l1/m1', { oee: oee(0.8) }),
    asset('p/a/l1/m2', { state: 'unplanned_stop', stop_reason: 'tool_break', oee: oee(0.3) }),
    asset('p/b/l1/m3', { stale: true }),
  ];
  const text = (a: Asset) => a.state ?? '';
  assert.deepEqual(list(all, '', '', 'place', text).items.map((i) => i.key), ['p/a/l1', 'p/a/l1/m1', 'p/a/l1/m2', 'p/b/l1', 'p/b/l1/m3']);
  assert.deepEqual(list(all, 'tool p/a', '', 'oee', text).items.map((i) => i.key), ['p/a/l1/m2']);
  assert.deepEqual(list(all, '', 'abnormal', 'oee', text).items.map((i) => i.key), ['p/a/l1/m2', 'p/b/l1/m3']);
  assert.deepEqual(list(all, '', '', 'oee', text).items.map((i) => i.key), ['p/a/l1/m2', 'p/a/l1/m1', 'p/b/l1/m3'], 'unknown OEE comes last');
});
