import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gateway, Loss } from '../../src/api/types.ts';
import { accountOf, alarmsOf, byReason, fill, skewSeconds, worst } from '../../src/model/audit.ts';
import { fleetHref, parseRoute } from '../../src/route.ts';

const old: Gateway = {
  gateway: 'gw-1',
  online: true,
  last_seen: '2026-01-01T10:00:00Z',
  enrolled_at: null,
  version: null,
  boot_id: null,
  started_at: null,
  backlog_entries: 0,
  spool_bytes: 500,
  oldest_unsent_age_s: 0,
  skew_s: 0.02,
  time_quality: 'synced',
  readings_total: 100,
  readings_stored: 90,
  dropped_total: 3,
  losses: { malformed: 3 },
  duplicates_total: 0,
  duplicate_batches: 0,
  batches: 5,
  sources: [],
};
const audit = { taken: 100, stored: 90, lost: 3, lost_unknown: 0, twice: 0, late: 4, in_flight: 10, unaccounted: 0, since: '2026-01-01T00:00:00Z', verdict: 'in_flight' };
const loss = (reason: string, count: number, from: string, to: string, gateway = 'gw-1'): Loss => ({ gateway, asset: null, signal: null, reason, count, from, to, detail: null });

test('the account of a collector that keeps one', () => {
  const a = accountOf({ ...old, audit });
  assert.deepEqual([a.taken, a.stored, a.lost, a.twice, a.late, a.inFlight, a.unaccounted, a.verdict], [100, 90, 3, 0, 4, 10, 0, 'in_flight']);
  assert.equal(a.since, Date.parse('2026-01-01T00:00:00Z'));
});

test('what an older collector does not tell is not known, and never zero', () => {
  const a = accountOf(old);
  assert.deepEqual([a.stored, a.lost], [90, 3]);
  assert.deepEqual([a.taken, a.twice, a.late, a.inFlight, a.unaccounted, a.lostUnknown, a.since], [null, null, null, null, null, null, null]);
  assert.equal(a.verdict, 'unknown');
  assert.equal(fill(old), null);
  assert.deepEqual(alarmsOf(old), []);
});

test('figures alone give a verdict, a word that nobody knows does not', () => {
  const of = (change: object) => accountOf({ ...old, audit: { ...audit, ...change } }).verdict;
  assert.equal(of({ verdict: null }), 'in_flight');
  assert.equal(of({ verdict: 'splendid', in_flight: 0 }), 'balanced');
  assert.equal(of({ verdict: null, in_flight: null }), 'unknown');
  assert.equal(of({ verdict: 'unknown' }), 'unknown');
});

test('something uncounted or stored twice never balances, whatever is said', () => {
  const of = (change: object) => accountOf({ ...old, audit: { ...audit, ...change } }).verdict;
  assert.equal(of({ verdict: 'balanced', unaccounted: 1 }), 'unaccounted');
  assert.equal(of({ verdict: 'balanced', unaccounted: -1 }), 'unaccounted', 'too much is as wrong as too little');
  assert.equal(of({ verdict: 'in_flight', twice: 2 }), 'unaccounted');
});

test('of many accounts the worst is shown', () => {
  const with_ = (verdict: string) => accountOf({ ...old, audit: { ...audit, verdict } });
  assert.deepEqual(worst([with_('balanced'), with_('in_flight'), with_('in_flight')]), { verdict: 'in_flight', count: 2 });
  assert.deepEqual(worst([with_('in_flight'), with_('unaccounted'), with_('unknown')]), { verdict: 'unaccounted', count: 1 });
  assert.deepEqual(worst([with_('balanced')]), { verdict: 'balanced', count: 1 });
});

test('a skewed clock raises an alarm above five seconds, in either direction and in either unit', () => {
  const kinds = (change: object) => alarmsOf({ ...old, ...change }).map((a) => a.kind);
  assert.deepEqual(kinds({ skew_us: 5_000_000 }), []);
  assert.deepEqual(kinds({ skew_us: -5_000_001 }), ['clock_skew']);
  assert.deepEqual(kinds({ skew_s: 7200 }), ['clock_skew']);
  assert.equal(skewSeconds({ ...old, skew_us: -1_500_000, skew_s: null }), -1.5);
});

test('alarms that the collector tells are kept with their detail and not told twice', () => {
  const told = [{ kind: 'clock_skew', since: '2026-01-01T00:00:00Z', detail: '+2 h' }, { kind: 'restored', since: null, detail: null }];
  const alarms = alarmsOf({ ...old, alarms: told, skew_us: 7_200_000_000, durable: false });
  assert.deepEqual(alarms.map((a) => a.kind), ['clock_skew', 'restored', 'not_durable']);
  assert.equal(alarms[0]?.detail, '+2 h');
});

test('a revoked gateway is silent on purpose', () => {
  assert.deepEqual(alarmsOf({ ...old, online: false, revoked_at: '2026-01-01T00:00:00Z', alarms: [{ kind: 'offline' }] }), []);
  assert.deepEqual(alarmsOf({ ...old, online: false }).map((a) => a.kind), ['offline']);
});

test('losses by reason: totals as told, ranges from the reports, and a reason of ranges alone has no count', () => {
  const rows = byReason(old, [
    loss('malformed', 2, '2026-01-01T01:00:00Z', '2026-01-01T01:00:01Z'),
    loss('malformed', 1, '2026-01-01T00:30:00Z', '2026-01-01T00:30:01Z'),
    loss('power_cut', 0, '2026-01-01T02:00:00Z', '2026-01-01T02:00:05Z'),
    loss('sequence_gap', 4, '2026-01-01T02:00:00Z', '2026-01-01T02:00:05Z'),
    loss('sequence_gap', 9, '2026-01-01T02:00:00Z', '2026-01-01T02:00:05Z', 'gw-2'),
  ]);
  assert.deepEqual(rows.map((r) => [r.reason, r.count, r.unknown]), [['sequence_gap', 4, 0], ['malformed', 3, 0], ['power_cut', null, 1]]);
  assert.deepEqual([rows[1]?.from, rows[1]?.to], [Date.parse('2026-01-01T00:30:00Z'), Date.parse('2026-01-01T01:00:01Z')]);
});

test('the address of the fleet keeps what is open and which losses are listed', () => {
  const href = fleetHref({ open: 'gw-1', gateway: 'gw-1', reason: 'power_cut' });
  assert.deepEqual(parseRoute(href), { page: 'fleet', open: 'gw-1', gateway: 'gw-1', reason: 'power_cut' });
  assert.equal(fleetHref(), '#/fleet');
  assert.deepEqual(parseRoute('#/fleet'), { page: 'fleet', open: '', gateway: '', reason: '' });
});
