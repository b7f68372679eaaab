import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Oee } from '../../src/api/types.ts';
import { countStandings, rollUp, standing } from '../../src/model/rollup.ts';

const near = (a: number | null, b: number, what = '') => assert.ok(a !== null && Math.abs(a - b) < 1e-9, `${what} ${a} is not ${b}`);

function machine(plannedS: number, productionS: number, ideal: number, produced: number, rejected: number) {
  const availability = productionS / plannedS;
  const performance = productionS > 0 ? (ideal * produced) / productionS : null;
  const quality = produced > 0 ? (produced - rejected) / produced : null;
  const oee: Oee = {
    availability,
    performance,
    quality,
    oee: performance !== null && quality !== null ? availability * performance * quality : null,
    times: { planned_busy_s: plannedS, production_s: productionS, planned_operation_s: plannedS, no_data_s: 0 },
    counts: { produced, good: produced - rejected, rejected, reworked: 0 },
  };
  return { oee, parts: { produced, rejected }, ideal_cycle_time_s: ideal };
}

test('a roll-up sums times and counts: .80 and .45 are not .625', () => {
  // 1 h planned at 80 %, 3 h planned at 45 %.
  const all = rollUp([machine(3600, 3600, 1, 2880, 0), machine(10800, 4860, 1, 4860, 0)]);
  near(all.oee, 0.5375);
});

test('the factors multiply to OEE and the losses add up to the planned time, with different ideal cycles', () => {
  const all = rollUp([machine(25_200, 22_380, 1, 19_271, 423), machine(20_000, 9_000, 11, 700, 31), machine(7_200, 0, 2, 0, 0)]);
  near((all.availability as number) * (all.performance as number) * (all.quality as number), all.oee as number);
  near(all.effectiveS + all.lostStopsS + all.lostSpeedS + all.lostRejectsS, all.plannedS);
  assert.equal(all.produced, 19_971);
  assert.equal(all.machines, 3);
});

test('one machine alone rolls up to its own figures', () => {
  const all = rollUp([machine(25_200, 22_380, 1, 19_271, 423)]);
  near(all.availability, 22_380 / 25_200);
  near(all.performance, 19_271 / 22_380);
  near(all.quality, 18_848 / 19_271);
});

test('machines without OEE or without planned time add nothing, and nothing at all is unknown, not zero', () => {
  const none = { oee: null, parts: null, ideal_cycle_time_s: null };
  const unplanned = machine(0, 0, 1, 0, 0);
  assert.deepEqual([rollUp([none, unplanned]).oee, rollUp([]).availability, rollUp([none]).coverage], [null, null, null]);
  near(rollUp([none, machine(100, 50, 1, 50, 0)]).oee, 0.5);
});

test('missing data lowers the coverage, not the OEE', () => {
  const m = machine(100, 50, 1, 50, 0);
  m.oee.times = { planned_busy_s: 100, production_s: 50, planned_operation_s: 400, no_data_s: 300 };
  near(rollUp([m]).coverage, 0.25);
  near(rollUp([m]).oee, 0.5);
});

test('a stale machine counts as stale whatever it said last', () => {
  assert.equal(standing({ state: 'producing', stale: true, online: true }), 'stale');
  assert.equal(standing({ state: null, stale: false, online: true }), 'stale');
  assert.equal(standing({ state: 'offline', stale: false, online: true }), 'stopped');
  const of = (state: 'producing' | 'idle' | 'unplanned_stop', stale = false) => ({ state, stale, online: true });
  assert.deepEqual(countStandings([of('producing'), of('idle'), of('unplanned_stop'), of('producing', true)]), { stopped: 1, stale: 1, waiting: 1, producing: 1 });
});
