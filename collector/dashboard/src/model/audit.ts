/** A gateway's account as the page shows it: what an older collector does not tell is unknown, never zero. Pure. */

import type { Alarm, Audit, Gateway, Loss, Verdict } from '../api/types.ts';

/** The clock skew from which an alarm is raised. */
export const SKEW_LIMIT_S = 5;
const VERDICTS: readonly Verdict[] = ['balanced', 'in_flight', 'unaccounted', 'unknown'];
/** The worst first, as a list is sorted by it. */
const WORST_FIRST: readonly Verdict[] = ['unaccounted', 'unknown', 'in_flight', 'balanced'];

export interface Account {
  taken: number | null;
  stored: number | null;
  lost: number | null;
  /** Losses of which only the range is known. */
  lostUnknown: number | null;
  twice: number | null;
  late: number | null;
  inFlight: number | null;
  open: number | null;
  held: number | null;
  unaccounted: number | null;
  since: number | null;
  verdict: Verdict;
}

export function accountOf(gateway: Gateway): Account {
  const audit: Audit = gateway.audit ?? {};
  const since = typeof audit.since === 'string' ? Date.parse(audit.since) : Number.NaN;
  const [open, held] = [count(audit.open), count(audit.held)];
  const account = {
    taken: count(audit.taken),
    stored: count(audit.stored) ?? count(gateway.readings_stored),
    lost: count(audit.lost) ?? lossTotal(gateway),
    lostUnknown: count(audit.lost_unknown),
    twice: count(audit.twice),
    late: count(audit.late),
    inFlight: count(audit.in_flight) ?? (open !== null && held !== null ? open + held : null),
    open,
    held,
    unaccounted: count(audit.unaccounted),
    since: Number.isFinite(since) ? since : null,
  };
  return { ...account, verdict: verdictOf(audit, account.inFlight, account.unaccounted, account.twice) };
}

/** What the collector says; if it gives figures alone, what they say. Something stored twice never balances. */
function verdictOf(audit: Audit, inFlight: number | null, unaccounted: number | null, twice: number | null): Verdict {
  if ((unaccounted ?? 0) !== 0 || (twice ?? 0) > 0) return 'unaccounted';
  const said = VERDICTS.find((v) => v === audit.verdict);
  if (said) return said;
  if (unaccounted === null || inFlight === null) return 'unknown';
  return inFlight > 0 ? 'in_flight' : 'balanced';
}

/** The worst of many, and how many have it. */
export function worst(accounts: readonly Account[]): { verdict: Verdict; count: number } {
  for (const verdict of WORST_FIRST) {
    const found = accounts.filter((a) => a.verdict === verdict).length;
    if (found > 0) return { verdict, count: found };
  }
  return { verdict: 'unknown', count: 0 };
}

export function lossTotal(gateway: Gateway): number | null {
  return gateway.losses ? Object.values(gateway.losses).reduce((a, b) => a + b, 0) : null;
}

export function skewSeconds(gateway: Gateway): number | null {
  return typeof gateway.skew_us === 'number' ? gateway.skew_us / 1e6 : gateway.skew_s;
}

/** What is wrong with it: as the collector says, and what its other figures say where an older one says nothing. A revoked one is meant to be silent. */
export function alarmsOf(gateway: Gateway): Alarm[] {
  const alarms = (gateway.alarms ?? []).filter((a) => typeof a.kind === 'string');
  const add = (kind: string, so: boolean, since: string | null = null) => {
    if (so && !alarms.some((a) => a.kind === kind)) alarms.push({ kind, since, detail: null });
  };
  add('offline', !gateway.online && !gateway.revoked_at && gateway.last_seen !== null, gateway.last_seen);
  add('clock_skew', Math.abs(skewSeconds(gateway) ?? 0) > SKEW_LIMIT_S);
  add('not_durable', gateway.durable === false);
  add('unaccounted', accountOf(gateway).verdict === 'unaccounted');
  return gateway.revoked_at ? alarms.filter((a) => a.kind !== 'offline') : alarms;
}

/** The share of the buffer that is full. */
export function fill(gateway: Gateway): number | null {
  const [bytes, max] = [gateway.spool_bytes, gateway.spool_max_bytes];
  return typeof bytes === 'number' && typeof max === 'number' && max > 0 ? bytes / max : null;
}

export interface ReasonRow {
  reason: string;
  /** `null`: only ranges are known. */
  count: number | null;
  /** Reports without a count. */
  unknown: number;
  from: number | null;
  to: number | null;
}

/** What one gateway lost, by reason: the totals that it told, and the ranges of the reports that are at hand. The most first. */
export function byReason(gateway: Gateway, losses: readonly Loss[]): ReasonRow[] {
  const rows = new Map<string, ReasonRow>();
  for (const [reason, total] of Object.entries(gateway.losses ?? {})) {
    if (total > 0) rows.set(reason, { reason, count: total, unknown: 0, from: null, to: null });
  }
  for (const loss of losses) {
    if (loss.gateway !== gateway.gateway) continue;
    const row = rows.get(loss.reason) ?? { reason: loss.reason, count: null, unknown: 0, from: null, to: null };
    const [from, to] = [Date.parse(loss.from), Date.parse(loss.to)];
    row.from = row.from === null ? from : Math.min(row.from, from);
    row.to = row.to === null ? to : Math.max(row.to, to);
    if (loss.count === 0) row.unknown++;
    // A total that was told covers more than the reports at hand.
    else if (!gateway.losses?.[loss.reason]) row.count = (row.count ?? 0) + loss.count;
    rows.set(loss.reason, row);
  }
  return [...rows.values()].sort((a, b) => (b.count ?? 0) - (a.count ?? 0) || a.reason.localeCompare(b.reason));
}

function count(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
