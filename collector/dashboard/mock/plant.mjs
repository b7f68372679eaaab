// A pretended plant whose whole history is a function of time: any period can be asked for, and answers always agree with each other.

const SITES = [
  { path: 'plant1/press-shop', machine: 'press', cycle: 2.5, reasons: ['die_jam', 'sheet_feed', 'hydraulic_pressure_low'] },
  { path: 'plant1/machining', machine: 'mill', cycle: 11, reasons: ['tool_break', 'coolant_low', 'spindle_overload'] },
];
const STATES = [
  { state: 'producing', share: 0.62, meanS: 1500 },
  { state: 'idle', share: 0.1, meanS: 180 },
  { state: 'setup', share: 0.08, meanS: 420 },
  { state: 'planned_stop', share: 0.04, meanS: 900 },
  { state: 'unplanned_stop', share: 0.14, meanS: 380 },
  { state: 'offline', share: 0.02, meanS: 240 },
];
const SIGNALS = [
  { signal: 'spindle_temperature', unit: 'Cel', base: 58, swing: 3.2, noise: 0.5, off: -21, critical: 71 },
  { signal: 'vibration_velocity', unit: 'mm/s', base: 1.7, swing: 0.25, noise: 0.12, off: -1.5, critical: 4.5 },
  { signal: 'active_power', unit: 'kW', base: 6.4, swing: 0.7, noise: 0.4, off: -5.7, critical: 9 },
];
const HISTORY_S = 27 * 3600;
const AHEAD_S = 6 * 3600;
export const WINDOW_S = 5;

/** A number in [0, 1) that depends on nothing but its arguments. */
function hash(...parts) {
  let h = 0x811c9dc5;
  for (const c of parts.join('|')) h = Math.imul(h ^ c.charCodeAt(0), 0x01000193);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return (h >>> 0) / 4294967296;
}

/** Smooth noise: interpolated hashes. */
function drift(seed, t, periodS) {
  const x = t / periodS;
  const i = Math.floor(x);
  const f = x - i;
  const s = f * f * (3 - 2 * f);
  return (hash(seed, i) * (1 - s) + hash(seed, i + 1) * s) * 2 - 1;
}

const iso = (s) => new Date(Math.round(s * 1000)).toISOString().replace('Z', '000Z');

export class MockPlant {
  constructor({ machines = 12, gateways = 2, unaccountedAt = -1, seed = 7, now = Date.now() / 1000 } = {}) {
    this.seed = seed;
    this.born = now;
    this.origin = now - HISTORY_S;
    this.gatewayCount = gateways;
    /** The gateway whose account does not come out even. */
    this.unaccountedAt = unaccountedAt;
    this.machines = Array.from({ length: machines }, (_, i) => this.makeMachine(i, machines));
    this.bootedAt = now - 5 * 3600 - 431;
  }

  makeMachine(i, all) {
    const site = SITES[i % 2];
    const number = Math.floor(i / 2) + 1;
    const perLine = all > 50 ? 20 : 3;
    const line = `line${Math.floor((number - 1) / perLine) + 1}`;
    const m = {
      i,
      asset: `${site.path}/${line}/${site.machine}-${number}`,
      parts: [...site.path.split('/'), line, `${site.machine}-${number}`],
      ideal: site.cycle,
      cycle: site.cycle * (1.03 + 0.12 * hash(this.seed, i, 'cycle')),
      scrap: 0.004 + 0.02 * hash(this.seed, i, 'scrap'),
      gateway: i % 2 === 0 ? 'press-gw1' : 'mill-gw1',
      // One machine has stopped sending some minutes ago.
      silentSince: all >= 4 && i === 4 ? this.born - 247 : null,
    };
    m.spans = this.makeSpans(m, site);
    return m;
  }

  makeSpans(m, site) {
    const spans = [];
    let t = this.origin;
    let k = 0;
    let last = '';
    while (t < this.born + AHEAD_S) {
      let pick = hash(this.seed, m.i, k, 'state');
      let kind = STATES[0];
      if (last === 'producing') {
        const rest = STATES.slice(1);
        pick *= rest.reduce((a, s) => a + s.share / s.meanS, 0);
        kind = rest[0];
        for (const s of rest) {
          if (pick < s.share / s.meanS) {
            kind = s;
            break;
          }
          pick -= s.share / s.meanS;
        }
      }
      const length = 25 + kind.meanS * -Math.log(1 - 0.95 * hash(this.seed, m.i, k, 'length'));
      const reason = kind.state === 'unplanned_stop' ? site.reasons[Math.floor(hash(this.seed, m.i, k, 'reason') * site.reasons.length)] : '';
      spans.push({ from: t, to: t + length, state: kind.state, reason });
      last = kind.state;
      t += length;
      k++;
    }
    // What is to be seen at once: one machine that stands still, the first one producing.
    this.force(spans, m.i === 3 ? { from: this.born - 415, to: this.born + 900, state: 'unplanned_stop', reason: 'tool_break' } : null);
    this.force(spans, m.i === 0 ? { from: this.born - 1310, to: this.born + 3600, state: 'producing', reason: '' } : null);
    this.force(spans, m.i === 7 ? { from: this.born - 145, to: this.born + 600, state: 'setup', reason: '' } : null);
    this.force(spans, m.i > 7 && m.i % 5 !== 0 ? { from: this.born - 700 - 61 * (m.i % 17), to: this.born + 2400, state: 'producing', reason: '' } : null);
    return spans;
  }

  force(spans, span) {
    if (!span) return;
    const kept = spans.filter((s) => s.to <= span.from || s.from >= span.to);
    for (const s of spans) {
      if (s.from < span.from && s.to > span.from) kept.push({ ...s, to: span.from });
      if (s.from < span.to && s.to > span.to) kept.push({ ...s, from: span.to });
    }
    // A part cut out of the middle of one span would be there twice.
    const unique = kept.filter((s, i) => kept.findIndex((o) => o.from === s.from && o.to === s.to) === i);
    spans.splice(0, spans.length, ...[...unique.filter((s) => !(s.from < span.to && s.to > span.from)), span].sort((a, b) => a.from - b.from));
  }

  find(asset) {
    return this.machines.find((m) => m.asset === asset);
  }

  stateAt(m, t) {
    return m.spans.find((s) => t >= s.from && t < s.to) ?? { from: t, to: t, state: 'offline', reason: '' };
  }

  timeIn(m, from, to, state) {
    let sum = 0;
    for (const s of m.spans) if (s.state === state) sum += Math.max(0, Math.min(to, s.to) - Math.max(from, s.from));
    return sum;
  }

  /** Parts made from the beginning of time to `t`. */
  counter(m, t) {
    const made = Math.floor(this.timeIn(m, this.origin, t, 'producing') / m.cycle);
    return { produced: made, rejected: Math.floor(made * m.scrap) };
  }

  shiftAt(t) {
    // Berlin: early 6-14, late 14-22, night 22-6.
    const parts = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).formatToParts(t * 1000);
    const get = (type) => Number(parts.find((p) => p.type === type).value);
    const seconds = get('hour') * 3600 + get('minute') * 60 + get('second') + (t % 1);
    const midnight = t - seconds;
    const [name, start] = seconds < 6 * 3600 ? ['night', -2] : seconds < 14 * 3600 ? ['early', 6] : seconds < 22 * 3600 ? ['late', 14] : ['night', 22];
    return { name, from: Math.round(midnight + start * 3600), to: Math.round(midnight + (start + 8) * 3600) };
  }

  oee(m, from, to) {
    const all = Math.max(0, to - from);
    const planned = all - this.timeIn(m, from, to, 'planned_stop');
    const production = this.timeIn(m, from, to, 'producing');
    const [a, b] = [this.counter(m, from), this.counter(m, to)];
    const total = b.produced - a.produced;
    const reject = b.rejected - a.rejected;
    const availability = planned > 0 ? production / planned : null;
    const performance = production > 0 ? (m.ideal * total) / production : null;
    const quality = total > 0 ? (total - reject) / total : null;
    const oee = availability !== null && performance !== null && quality !== null ? availability * performance * quality : availability === 0 ? 0 : null;
    return {
      availability,
      performance,
      quality,
      oee,
      ooe: null,
      teep: null,
      nee: null,
      times: { all_s: all, planned_operation_s: all, no_data_s: 0, planned_busy_s: planned, production_s: production, down_s: planned - production },
      counts: { produced: total, good: total - reject, rejected: reject, reworked: 0 },
      losses: {
        breakdowns: this.timeIn(m, from, to, 'unplanned_stop') + this.timeIn(m, from, to, 'offline'),
        setup_and_adjustments: this.timeIn(m, from, to, 'setup'),
        minor_stops: this.timeIn(m, from, to, 'idle'),
        reduced_speed: production - m.ideal * total,
        process_defects: m.ideal * reject,
        startup_rejects: 0,
      },
      coverage: m.silentSince !== null && to > m.silentSince ? Math.max(0, (Math.max(from, m.silentSince) - from) / all) : 1,
      flags: planned <= 0 ? ['nothing_planned'] : [],
    };
  }

  value(m, spec, t) {
    const state = this.stateAt(m, t).state;
    const on = state === 'producing' ? 1 : state === 'setup' ? 0.35 : 0.08;
    const since = t - this.stateAt(m, t).from;
    const lag = spec.signal === 'spindle_temperature' ? Math.min(1, since / 240) : Math.min(1, since / 6);
    const before = this.stateAt(m, this.stateAt(m, t).from - 1).state === 'producing' ? 1 : 0.08;
    const level = before + (on - before) * lag;
    const scale = 0.9 + 0.2 * hash(this.seed, m.i, spec.signal);
    let v = (spec.base + spec.off * (1 - level)) * scale;
    v += spec.swing * level * drift(`${this.seed}${m.i}${spec.signal}a`, t, 700);
    v += spec.noise * (0.25 + level) * drift(`${this.seed}${m.i}${spec.signal}b`, t, 4);
    for (const a of this.anomalies(m, t - 120, t + 5)) {
      const at = Date.parse(a.event_time) / 1000;
      if (a.signal === spec.signal) v += (spec.critical - spec.base) * 1.05 * Math.exp(-(((t - at) / 22) ** 2));
    }
    return v;
  }

  summary(m, spec, start, length = WINDOW_S) {
    const n = Math.min(12, Math.max(5, Math.round(length / 5)));
    const values = Array.from({ length: n }, (_, i) => this.value(m, spec, start + ((i + 0.5) * length) / n));
    return {
      asset: m.asset,
      signal: spec.signal,
      unit: spec.unit,
      start: iso(start),
      end: iso(start + length),
      count: Math.round(length),
      min: Math.min(...values),
      max: Math.max(...values),
      mean: values.reduce((a, b) => a + b, 0) / n,
      last: values[n - 1],
      quality: 'good',
    };
  }

  series(m, signal, from, to, step) {
    const spec = SIGNALS.find((s) => s.signal === signal);
    if (!spec) return null;
    const points = [];
    const end = Math.min(to, m.silentSince ?? Number.POSITIVE_INFINITY, Date.now() / 1000 - 1);
    for (let at = Math.ceil(from / step) * step; at + step <= end; at += step) {
      if (at < this.origin || this.stateAt(m, at).state === 'offline') continue;
      const s = this.summary(m, spec, at, step);
      points.push({ at: iso(at), count: s.count, min: s.min, max: s.max, mean: s.mean });
    }
    return { asset: m.asset, signal, unit: spec.unit, step_s: step, points };
  }

  /** One slot of ten minutes may hold one anomaly. */
  anomalies(m, from, to) {
    const out = [];
    for (let slot = Math.floor(from / 600); slot <= Math.floor(to / 600); slot++) {
      if (hash(this.seed, m.i, slot, 'anomaly') > 0.05) continue;
      const at = slot * 600 + 60 + Math.floor(hash(this.seed, m.i, slot, 'at') * 480);
      if (at < from || at >= to || this.stateAt(m, at).state !== 'producing' || (m.silentSince !== null && at > m.silentSince)) continue;
      out.push(this.anomaly(m, at, slot));
    }
    // Something recent to look at on the first machine.
    const recent = Math.floor(this.born) - 200;
    if (m.i === 0 && recent >= from && recent < to) out.push(this.anomaly(m, recent, 'recent'));
    return out.sort((a, b) => (a.event_time < b.event_time ? -1 : 1));
  }

  anomaly(m, at, slot) {
    const spec = SIGNALS[Math.floor(hash(this.seed, m.i, slot, 'signal') * SIGNALS.length)];
    const severity = ['low', 'medium', 'high', 'critical'][Math.floor(hash(this.seed, m.i, slot, 'severity') * 4)];
    const kind = severity === 'critical' || severity === 'high' ? 'limit_high' : severity === 'medium' ? 'ewma' : 'rate_of_change';
    return {
      asset: m.asset,
      signal: spec.signal,
      event_time: iso(at),
      kind,
      severity,
      value: spec.critical * 1.02,
      threshold: spec.critical,
      score: 4.2,
      detector: `${spec.signal}-${kind}`,
      message: `${spec.signal} ${(spec.critical * 1.02).toFixed(2)} ${spec.unit}, expected at most ${spec.critical}`,
    };
  }

  asset(m, t) {
    const seen = m.silentSince === null ? t : m.silentSince;
    const now = this.stateAt(m, seen);
    const shift = this.shiftAt(t);
    const oee = this.oee(m, shift.from, seen);
    const window = Math.floor(seen / WINDOW_S) * WINDOW_S - WINDOW_S;
    const [site, area, line, machine] = m.parts;
    return {
      asset: m.asset,
      site,
      area,
      line,
      machine,
      gateway: m.gateway,
      online: m.silentSince === null,
      stale: m.silentSince !== null,
      state: now.state,
      state_since: iso(now.from),
      stop_reason: now.reason || null,
      ideal_cycle_time_s: m.ideal,
      signals: SIGNALS.map((spec) => {
        const s = this.summary(m, spec, window);
        return { signal: spec.signal, unit: spec.unit, value: s.last, event_time: s.end, quality: 'good' };
      }),
      shift: { name: shift.name, from: iso(shift.from), to: iso(shift.to) },
      oee,
      parts: { produced: oee.counts.produced, rejected: oee.counts.rejected },
      last_anomaly: this.anomalies(m, t - 6 * 3600, t).at(-1) ?? null,
    };
  }

  gateways(t) {
    const names = ['press-gw1', 'mill-gw1', 'paint-gw1'].slice(0, this.gatewayCount);
    return names.map((name, i) => {
      const own = this.machines.filter((m) => m.gateway === name);
      const up = t - this.bootedAt;
      const readings = i === 2 ? 184_204 : Math.floor(up * own.length * 3);
      const gap = i === 1 ? 42 : 0;
      // Five seconds of readings are in open windows; the one that is away holds more.
      const flight = own.length * 3 * (2 + (Math.floor(t) % 5)) + (i === 2 ? 10_912 : 0);
      const missing = i === this.unaccountedAt ? 17 : 0;
      const stored = readings - flight - missing;
      const alarms = [];
      if (i === 2) alarms.push({ kind: 'offline', since: iso(this.born - 3000), detail: null });
      if (missing) alarms.push({ kind: 'unaccounted', since: iso(this.born - 640), detail: `${missing} readings of stream 8c1f` });
      return {
        gateway: name,
        online: i < 2,
        last_seen: iso(i < 2 ? t - (t % 1) : this.born - 3000),
        enrolled_at: iso(this.bootedAt - 86_400 * 12),
        version: '0.1.0',
        boot_id: `${Math.floor(hash(this.seed, name) * 1e9).toString(16)}`,
        started_at: iso(this.bootedAt + i * 40),
        backlog_entries: i === 2 ? 913 : Math.floor(hash(this.seed, name, Math.floor(t / 2)) * 4),
        spool_bytes: 1_250_000 + Math.floor(hash(name, Math.floor(t / 10)) * 400_000),
        spool_max_bytes: 1_073_741_824,
        spool_hours_left: i === 2 ? 61.5 : null,
        written_today_bytes: 38_400_000 + Math.floor(up) * 900,
        durable: true,
        generations: 2 + i,
        alarms,
        audit: {
          taken: readings,
          stored,
          lost: gap,
          lost_unknown: gap ? 1 : 0,
          twice: 0,
          late: i === 1 ? 12 : 0,
          in_flight: flight,
          unaccounted: missing,
          since: iso(this.bootedAt - 86_400 * 12),
          verdict: missing ? 'unaccounted' : i === 3 ? 'balanced' : 'in_flight',
          text: `${stored} stored, ${gap} lost, 0 twice, ${i === 1 ? 12 : 0} late`,
        },
        oldest_unsent_age_s: i === 2 ? 3004 : hash(name, Math.floor(t / 2)) * 1.4,
        skew_s: i === 0 ? 0.004 : -0.021,
        skew_us: i === 0 ? 4_000 : -21_000,
        time_quality: i === 2 ? 'holdover' : 'synced',
        readings_total: readings,
        readings_stored: stored,
        dropped_total: gap,
        losses: gap ? { sequence_gap: 36, malformed: 6 } : {},
        duplicates_total: i === 1 ? 3 : 0,
        duplicate_batches: i === 1 ? 1 : 0,
        batches: Math.floor(up),
        sources:
          i === 0
            ? [{ name: 'broker', kind: 'mqtt_broker', connected: true, last_data_at: iso(t - 0.4), error: '' }]
            : own.slice(0, 6).map((m) => {
                const quiet = m.silentSince !== null;
                return { name: m.parts[3], kind: 'modbus_tcp', connected: !quiet, last_data_at: iso(quiet ? m.silentSince : t - 0.6), error: quiet ? 'timeout after 1 s' : '' };
              }),
      };
    });
  }
}
