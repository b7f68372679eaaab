import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketFor, fromWall, LONGEST_MS, neighbour, type PeriodChoice, refreshFor, resolve, type Shift, shiftAt, startOfDay, startOfMonth, startOfWeek, toWall } from '../../src/model/calendar.ts';
import { energyHref, maintenanceHref, oeeHref, parseRoute } from '../../src/route.ts';

const BERLIN = 'Europe/Berlin';
const at = (text: string) => Date.parse(text);
const iso = (ms: number) => new Date(ms).toISOString();
const choice = (kind: PeriodChoice['kind'], more: Partial<PeriodChoice> = {}): PeriodChoice => ({ kind, at: null, from: null, to: null, ...more });

test('days begin at local midnight, also when the clocks change', () => {
  assert.equal(iso(startOfDay(at('2026-07-10T12:00:00Z'), BERLIN)), '2026-07-09T22:00:00.000Z');
  // 29 March has 23 hours, 25 October 25.
  const short = [startOfDay(at('2026-03-29T12:00:00Z'), BERLIN), startOfDay(at('2026-03-29T12:00:00Z'), BERLIN, 1)] as const;
  assert.equal((short[1] - short[0]) / 3_600_000, 23);
  const long = [startOfDay(at('2026-10-25T12:00:00Z'), BERLIN), startOfDay(at('2026-10-25T12:00:00Z'), BERLIN, 1)] as const;
  assert.equal((long[1] - long[0]) / 3_600_000, 25);
  assert.equal(iso(startOfDay(at('2026-01-01T04:00:00Z'), 'America/Sao_Paulo')), '2026-01-01T03:00:00.000Z');
  assert.equal(iso(startOfDay(at('2026-01-01T18:00:00Z'), 'Pacific/Auckland')), '2026-01-01T11:00:00.000Z');
});

test('weeks begin on Monday, months on the first', () => {
  assert.equal(iso(startOfWeek(at('2026-11-22T12:00:00Z'), BERLIN)), '2026-11-15T23:00:00.000Z');
  assert.equal(iso(startOfWeek(at('2026-11-16T12:00:00Z'), BERLIN)), '2026-11-15T23:00:00.000Z');
  assert.equal(iso(startOfMonth(at('2026-04-15T12:00:00Z'), BERLIN)), '2026-03-31T22:00:00.000Z');
  assert.equal(iso(startOfMonth(at('2026-01-15T12:00:00Z'), BERLIN, -1)), '2025-11-30T23:00:00.000Z');
});

test('what a clock on the wall shows leads back to the moment', () => {
  for (const text of ['2026-11-22T13:45:10Z', '2026-03-29T00:59:59Z', '2026-03-29T01:00:00Z', '2026-10-25T02:30:00Z']) {
    assert.equal(fromWall(toWall(at(text), BERLIN), BERLIN), at(text), text);
  }
  // 02:30 comes twice on 25 October: the first is meant. On 29 March it does not come: half past three.
  assert.equal(iso(fromWall('2026-10-25T02:30:00', BERLIN) ?? 0), '2026-10-25T00:30:00.000Z');
  assert.equal(toWall(fromWall('2026-03-29T02:30:00', BERLIN) ?? 0, BERLIN), '2026-03-29T03:30:00');
  assert.equal(fromWall('', BERLIN), null);
});

const H = 3_600_000;
const shifts: Shift[] = [0, 8, 16, 24].map((h, i) => ({ name: `s${i}`, from: h * H, to: (h + 8) * H }));

test('a shift is the one that runs, else the last one; without any, eight hours', () => {
  assert.equal(shiftAt(shifts, 9 * H)?.name, 's1');
  assert.equal(shiftAt(shifts, 40 * H)?.name, 's3');
  assert.equal(shiftAt(shifts, -1), null);
  assert.deepEqual(resolve(choice('shift'), 17 * H, BERLIN, shifts), { from: 16 * H, to: 24 * H });
  assert.deepEqual(resolve(choice('shift', { at: 3 * H }), 17 * H, BERLIN, shifts), { from: 0, to: 8 * H });
  assert.deepEqual(resolve(choice('shift', { at: 30 * H }), 17 * H, BERLIN, shifts), { from: 16 * H, to: 24 * H }, 'never the future');
  assert.deepEqual(resolve(choice('shift'), 17 * H, BERLIN, []), { from: 9 * H, to: 17 * H });
  assert.equal(resolve(choice('shift'), 17 * H, BERLIN, null), null, 'not known yet');
});

test('the period before is of the same kind', () => {
  assert.deepEqual(neighbour('shift', { from: 8 * H, to: 16 * H }, -1, BERLIN, shifts), { from: 0, to: 8 * H });
  assert.deepEqual(neighbour('shift', { from: 8 * H, to: 16 * H }, 1, BERLIN, shifts), { from: 16 * H, to: 24 * H });
  assert.deepEqual(neighbour('custom', { from: 100, to: 150 }, -1, BERLIN, []), { from: 50, to: 100 });
  const day = resolve(choice('day'), at('2026-03-30T12:00:00Z'), BERLIN, []);
  const before = neighbour('day', day ?? { from: 0, to: 0 }, -1, BERLIN, []);
  assert.equal(before.to, day?.from);
  assert.equal((before.to - before.from) / H, 23, 'the day of the change');
  const month = resolve(choice('month'), at('2026-03-15T12:00:00Z'), BERLIN, []) ?? { from: 0, to: 0 };
  assert.equal(iso(neighbour('month', month, -1, BERLIN, []).from), '2026-01-31T23:00:00.000Z');
});

test('a period of one’s own is ordered and no longer than can be asked for', () => {
  assert.deepEqual(resolve(choice('custom', { from: 5, to: 9 }), 20, BERLIN, []), { from: 5, to: 9 });
  const long = resolve(choice('custom', { from: 0, to: 2 * LONGEST_MS }), 3 * LONGEST_MS, BERLIN, []) ?? { from: 0, to: 0 };
  assert.equal(long.to - long.from, LONGEST_MS);
  const wrong = resolve(choice('custom', { from: 9, to: 5 }), 86_400_000, BERLIN, []);
  assert.deepEqual(wrong, { from: 0, to: 86_400_000 });
});

test('trends are cut so that they can be read', () => {
  assert.equal(bucketFor({ from: 0, to: 8 * H }), 'hour');
  assert.equal(bucketFor({ from: 0, to: 168 * H }), 'shift');
  assert.equal(bucketFor({ from: 0, to: 744 * H }), 'day');
});

test('a long period is asked for less often than a short one', () => {
  assert.deepEqual([8, 24, 168, 744].map((h) => refreshFor({ from: 0, to: h * H }) / 1000), [30, 30, 210, 600]);
});

test('what is looked at stands in the address and comes back from it', () => {
  const oee = oeeHref({ scope: 'plant1/press-shop', time: choice('week', { at: 86_400_000 }), by: 'category', loss: 'minor_stops', stop: 90_000_000, shift: 88_000_000 });
  assert.deepEqual(parseRoute(oee), { page: 'oee', scope: 'plant1/press-shop', time: choice('week', { at: 86_400_000 }), by: 'category', loss: 'minor_stops', stop: 90_000_000, shift: 88_000_000 });
  assert.ok(oee.includes('scope=plant1/press-shop'), 'readable');
  const energy = energyHref({ scope: 'a', time: choice('custom', { from: 1000, to: 2000 }) });
  assert.deepEqual(parseRoute(energy), { page: 'energy', scope: 'a', time: choice('custom', { from: 1000, to: 2000 }) });
  assert.deepEqual(parseRoute(maintenanceHref({ asset: 'a/b/c/d', component: 'bearing' })), { page: 'maintenance', scope: '', asset: 'a/b/c/d', component: 'bearing' });
  assert.deepEqual(parseRoute('#/oee?period=nonsense&stop=never'), { page: 'oee', scope: '', time: choice('shift'), by: '', loss: '', stop: null, shift: null });
});
