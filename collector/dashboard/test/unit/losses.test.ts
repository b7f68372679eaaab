import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Interval, LossNode, RollUp, StopReason } from '../../src/api/oee-types.ts';
import type { Oee } from '../../src/api/types.ts';
import { belongs, reasonOptions, remainder, scopeTree, splitFault, unexplained, visibleNodes, waterfall } from '../../src/model/losses.ts';

const node = (key: string, micros: number, children: LossNode[] = []): LossNode => ({
  key,
  micros: children.length ? children.reduce((s, c) => s + c.micros, 0) : micros,
  seconds: micros / 1e6,
  share: micros / 1000,
  parts: null,
  stops: null,
  children,
});

const tree = node('planned_busy_time', 1000, [
  node('availability_losses', 300, [node('breakdowns', 200, [node('unplanned_stop', 200)]), node('setup_and_adjustments', 0), node('minor_stops', 100)]),
  node('performance_losses', 150, [node('reduced_speed', 150)]),
  node('quality_losses', 50, [node('process_defects', 50), node('startup_rejects', 0)]),
  node('fully_productive_time', 500),
]);

test('each loss hangs from where the one above it ended, and all of them add up to the planned time', () => {
  const rows = waterfall(tree);
  assert.deepEqual(
    rows.map((r) => [r.key, r.role, Math.round(r.from * 1000), Math.round(r.to * 1000)]),
    [
      ['planned_busy_time', 'whole', 0, 1000],
      ['breakdowns', 'loss', 800, 1000],
      ['minor_stops', 'loss', 700, 800],
      ['reduced_speed', 'loss', 550, 700],
      ['process_defects', 'loss', 500, 550],
      ['fully_productive_time', 'rest', 0, 500],
    ],
  );
  assert.equal(remainder(rows), 0);
  assert.equal(rows[1]?.points, 20);
});

test('a gain is drawn backwards and the sum still holds; what can’t be divided is said so', () => {
  const fast = node('planned_busy_time', 1000, [
    node('availability_losses', 400, [node('breakdowns', 400)]),
    node('performance_losses', -100, [node('reduced_speed', -100)]),
    node('quality_losses', 0, [node('process_defects', 0)]),
    node('fully_productive_time', 700),
  ]);
  const rows = waterfall(fast);
  assert.deepEqual(rows.map((r) => [r.key, r.from, r.to]).slice(2), [
    ['reduced_speed', 0.6, 0.7],
    ['fully_productive_time', 0, 0.7],
  ]);
  assert.equal(remainder(rows), 0);
  const undivided = waterfall(node('planned_busy_time', 10, [node('availability_losses', 4, [node('breakdowns', 4)]), node('performance_losses', 0, []), node('undivided', 6)]));
  assert.deepEqual(undivided.map((r) => r.role), ['whole', 'loss', 'undivided']);
  assert.deepEqual(waterfall(node('planned_busy_time', 0)), [], 'nothing planned: no picture');
});

test('the tree of scopes holds every machine, and OEE only where it is known', () => {
  const oee = (v: number): Oee => ({ availability: null, performance: null, quality: null, oee: v });
  const answer: RollUp = { level: 'site', path: 'p', machines: 2, oee: oee(0.5), children: [{ level: 'area', path: 'p/a', machines: 2, oee: oee(0.4), children: [] }] };
  const roots = scopeTree(['p/a/l/m1', 'p/a/l/m2', 'q/b/l/m3'], answer);
  assert.deepEqual(
    roots.map((r) => [r.path, r.machines, r.oee?.oee ?? null]),
    [
      ['p', 2, 0.5],
      ['q', 1, null],
    ],
  );
  assert.deepEqual(visibleNodes(roots, 'p/a').map((n) => `${n.depth}${n.node.path}`), ['0p', '1p/a', '2p/a/l', '0q']);
  assert.deepEqual(visibleNodes(roots, 'p/a/l/m2').map((n) => n.node.name), ['p', 'a', 'l', 'm1', 'm2', 'q']);
});

const interval = (cause: Interval['cause'], reason: string | null, loss: Interval['loss'] = null): Interval => ({
  from: '2026-01-01T00:00:00Z',
  to: '2026-01-01T00:10:00Z',
  seconds: 600,
  cause,
  loss,
  rule: 'machine_state',
  reason,
  reason_name: null,
  evidence: { state: null, state_since: null, stood_s: null, machine_reason: null, registration: null, registered_by: null, registered_at: null, comment: null, from_product: null, to_product: null },
  parts: null,
});

test('stops wait for a reason; production, planned stops and missing data do not', () => {
  assert.equal(unexplained(interval('unplanned_stop', null)), true);
  assert.equal(unexplained(interval('unplanned_stop', 'M1')), false);
  for (const cause of ['producing', 'planned_stop', 'no_data', 'not_planned'] as const) assert.equal(unexplained(interval(cause, null)), false, cause);
  assert.equal(belongs(interval('idle', 'M1', 'breakdowns'), 'breakdowns'), true);
  assert.equal(belongs(interval('idle', 'M1', 'breakdowns'), 'M1'), true);
  assert.equal(belongs(interval('idle', null), ''), false);
});

test('reasons are offered as their tree, with the category of the nearest above; a circle does not hang the page', () => {
  const reason = (code: string, parent: string | null, category: StopReason['category'] = null, retired = false): StopReason => ({ code, name: code, category, parent, retired });
  const options = reasonOptions([reason('M1', 'M'), reason('M', null, 'breakdowns'), reason('S', null, 'setup_and_adjustments'), reason('M11', 'M1'), reason('X', 'gone', 'minor_stops', true)]);
  assert.deepEqual(
    options.map((o) => `${o.depth}${o.code}:${o.category}`),
    ['0M:breakdowns', '1M1:breakdowns', '2M11:breakdowns', '0S:setup_and_adjustments', '0X:minor_stops'],
  );
  assert.deepEqual(reasonOptions([reason('A', 'B'), reason('B', 'A')]), []);
});

test('a part of a stop lies within it', () => {
  const stop = { from: 10_000, to: 20_000 };
  assert.equal(splitFault(stop, { from: 12_000, to: 15_000 }), null);
  assert.equal(splitFault(stop, { from: 9_500, to: 20_400 }), null, 'inputs know whole seconds');
  assert.equal(splitFault(stop, { from: 15_000, to: 15_000 }), 'backwards');
  assert.equal(splitFault(stop, { from: 2_000, to: 15_000 }), 'outside');
  assert.equal(splitFault(stop, { from: null, to: 15_000 }), 'no_time');
});
