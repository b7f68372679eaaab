import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENERGY_STATES, type EnergyAnswer, type EnergyReport, type EnergyTotals } from '../../src/api/energy-types.ts';
import { baseLoad, byDay, byShift, energyBucket, load, loadDuration, ofState, peaks, switchOff } from '../../src/model/power.ts';
import { daysOf, emptyTariff, readNumber, setOf, tariffFault } from '../../src/model/tariff.ts';

const H = 3_600_000;
const iso = (h: number) => new Date(h * H).toISOString();
const totals = (producing: number, idle: number): EnergyTotals => ({
  kwh: producing + idle,
  interpolated_kwh: 0,
  undated_kwh: 0,
  measured_s: 0,
  interpolated_s: 0,
  period_s: 0,
  by_state: Object.fromEntries(ENERGY_STATES.map((s) => [s, { kwh: s === 'producing' ? producing : s === 'idle' ? idle : 0, known_s: 0, total_s: 0 }])) as EnergyTotals['by_state'],
  produced: 10,
  good: 9,
  produced_metered: 10,
  good_metered: 9,
});
const ratios = { per_part_kwh: null, per_good_part_kwh: null, non_producing_share: null, mean_kw: null, coverage: 1, measured_share: 1 };
const machine = (asset: string, kwh: [number, number, number][], base: number | null = null): EnergyAnswer['machines'][number] => ({
  asset,
  signal: 'active_power',
  report: {
    from: iso(0),
    to: iso(24),
    totals: totals(8, 2),
    ratios,
    base_load_kw: base,
    by_shift: [
      { name: 'early', from: iso(0), to: iso(8), totals: totals(5, 1), ratios },
      { name: 'late', from: iso(8), to: iso(16), totals: totals(3, 1), ratios },
    ],
    outside_shifts: { kwh: 0, known_s: 0, total_s: 0 },
    buckets: kwh.map(([h, e, coverage]) => ({ from: iso(h), to: iso(h + 1), kwh: e, coverage })),
    peaks: [],
    load_duration: [],
    quarters: [],
    cost: null,
    switch_off: null,
    hole_count: 0,
    flags: [],
  } satisfies EnergyReport,
});

test('loads of machines add up; a bucket without data is not zero', () => {
  const sum = load([machine('a', [[1, 4, 1], [0, 6, 1], [2, 0, 0]]), machine('b', [[0, 2, 0.5], [1, 1, 1], [2, 0, 0]])]);
  assert.deepEqual(sum.map((l) => [l.from / H, l.kw, l.coverage]), [
    [0, 10, 0.75],
    [1, 5, 1],
    [2, null, 0],
  ]);
  assert.deepEqual(peaks(sum, 1).map((p) => p.kw), [10]);
  assert.deepEqual(peaks([{ from: 0, to: H, kw: 99, coverage: 0.2, kwh: 1 }], 3), [], 'too little data makes no peak');
});

test('the load-duration curve falls from the highest load to the lowest, over all known time', () => {
  const curve = loadDuration(load([machine('a', [[0, 2, 1], [1, 6, 1], [2, 0, 0], [3, 4, 1], [4, 2, 1]])]));
  assert.deepEqual(curve[0], { share: 0, kw: 6 });
  assert.deepEqual(curve.at(-1), { share: 1, kw: 2 });
  assert.ok(curve.every((p, i) => i === 0 || p.kw <= (curve[i - 1]?.kw ?? 0)));
  assert.deepEqual(loadDuration([]), []);
});

test('energy by state and shift adds up over machines, and over days', () => {
  const bars = byShift([machine('a', []), machine('b', [])]);
  assert.deepEqual(bars.map((b) => [b.name, b.kwh.producing, b.kwh.idle, b.total, b.produced, b.machines]), [
    ['early', 10, 2, 12, 20, 2],
    ['late', 6, 2, 8, 20, 2],
  ]);
  const days = byDay(bars, () => 0, () => 'Monday');
  assert.deepEqual(days.map((d) => [d.name, d.total, d.to / H]), [['Monday', 20, 16]]);
  assert.deepEqual(ofState(totals(8, 2)), [
    { state: 'producing', kwh: 8, share: 0.8 },
    { state: 'idle', kwh: 2, share: 0.2 },
  ]);
});

test('base load and savings are of the machines that have one, and none is not zero', () => {
  assert.deepEqual(baseLoad([machine('a', [], 1.5), machine('b', []), machine('c', [], 2)]), { kw: 3.5, of: 2 });
  assert.deepEqual(baseLoad([machine('a', [])]), { kw: null, of: 0 });
  assert.equal(switchOff([machine('a', [])]), null);
  const saving = machine('a', []);
  saving.report.switch_off = { saved_kwh: 3, saved_kwh_per_week: null, off_s: 60, times: 2, saved_cost: null, saved_co2_kg: 1 };
  assert.deepEqual(switchOff([saving, saving, machine('b', [])]), { saved_kwh: 6, saved_kwh_per_week: null, off_s: 120, times: 4, saved_cost: null, saved_co2_kg: 2 });
});

test('quarter hours are asked for while they are few', () => {
  assert.equal(energyBucket({ from: 0, to: 24 * H }, 12), 'quarter_hour');
  assert.equal(energyBucket({ from: 0, to: 7 * 24 * H }, 12), 'hour', 'more than the collector tells of quarter hours');
  assert.equal(energyBucket({ from: 0, to: 31 * 24 * H }, 1), 'quarter_hour');
  assert.equal(energyBucket({ from: 0, to: 31 * 24 * H }, 200), 'day');
});

test('a tariff is read as it is typed, and its first fault is named', () => {
  assert.deepEqual(['0.24', '0,24', ' 12 ', '-0.1', 'abc', '', '1e3', '1.2.3'].map(readNumber), [0.24, 0.24, 12, -0.1, null, null, null, null]);
  const tariff = { ...emptyTariff(), base_price_per_kwh: 0.2 };
  assert.equal(tariffFault(tariff), null);
  assert.equal(tariffFault({ ...tariff, base_price_per_kwh: Number.NaN }), 'price');
  assert.equal(tariffFault({ ...tariff, co2_kg_per_kwh: -1 }), 'co2');
  const band = { name: 'peak', weekdays: [], from: '06:00:00', to: '22:00:00', price_per_kwh: 0.3 };
  assert.equal(tariffFault({ ...tariff, bands: [band] }), null);
  assert.equal(tariffFault({ ...tariff, bands: [{ ...band, name: ' ' }] }), 'band_name');
  assert.equal(tariffFault({ ...tariff, bands: [{ ...band, from: ':00' }] }), 'band_time');
  assert.equal(setOf(daysOf('work', [])), 'work');
  assert.equal(setOf([]), 'all');
  assert.equal(setOf(['monday']), 'own');
  assert.deepEqual(daysOf('own', ['monday']), ['monday']);
});
