/** One gateway of the fleet: a line that says what became of its readings, and, opened, the account that the line comes from. */

import type { Alarm, Gateway, Loss } from '../api/types.ts';
import { UNKNOWN } from '../format.ts';
import { type Account, accountOf, alarmsOf, byReason, fill, SKEW_LIMIT_S, skewSeconds } from '../model/audit.ts';
import { fleetHref, type FleetRoute } from '../route.ts';
import { useApp } from '../state/context.ts';
import { StateMark, VerdictMark, WarnMark } from '../ui/marks.tsx';

/** An unsent entry older than this means that delivery lags. */
const LAG_LIMIT_S = 60;
/** A buffer this full, or this near to it, wants attention. */
const FILL_LIMIT = 0.8;
const HOURS_LIMIT = 4;
const SOURCE_QUIET_MS = 60_000;

export function sourceQuiet(last: string | null, now: number): boolean {
  return last === null || now - Date.parse(last) > SOURCE_QUIET_MS;
}

export function GatewayEntry({ gateway: g, now, route, losses }: { gateway: Gateway; now: number; route: FleetRoute; losses: Loss[] }) {
  const { words, format } = useApp();
  const { t } = words;
  const account = accountOf(g);
  const alarms = alarmsOf(g);
  const state = g.revoked_at ? 'revoked' : g.online ? 'online' : g.last_seen === null ? 'never' : 'offline';
  const open = route.open === g.gateway;
  const id = `account-${g.gateway}`;
  const toggle = () => {
    // In the address, so that it can be sent; replaced, so that "back" leaves the page.
    history.replaceState(null, '', fleetHref({ ...route, open: open ? '' : g.gateway }));
    window.dispatchEvent(new Event('hashchange'));
  };
  return (
    <section class={`panel gateway is-${state} is-${account.verdict}`} aria-labelledby={`gw-${g.gateway}`}>
      <h2 id={`gw-${g.gateway}`}>
        <button type="button" class="gateway-head" onClick={toggle} aria-expanded={open} aria-controls={open ? id : undefined}>
          <svg class="chevron" viewBox="0 0 16 16" aria-hidden="true">
            <path d="m6 3.5 4.5 4.5L6 12.5" />
          </svg>
          <span class="gateway-name">{g.gateway}</span>
          <span class={`verdict-line is-${account.verdict}`}>
            <VerdictMark verdict={account.verdict} />
            {t(`audit.${account.verdict}`)}
          </span>
          <span class="audit-line num" data-testid="audit">
            <AuditLine account={account} />
          </span>
          <span class={`gateway-state ${state}`}>
            <StateMark state={state === 'online' ? 'producing' : 'offline'} />
            {t(`fleet.gateway.${state}`)}
          </span>
        </button>
      </h2>
      {alarms.length > 0 && (
        <ul class="alarms">
          {alarms.map((a) => (
            <AlarmLine key={a.kind} alarm={a} now={now} />
          ))}
        </ul>
      )}
      {open && (
        <div id={id} class="account">
          <Ledger gateway={g} account={account} losses={losses} route={route} now={now} />
          <Facts gateway={g} now={now} />
          <Sources gateway={g} now={now} />
          {account.since !== null && <p class="sub">{t('audit.since', { time: format.moment(account.since, now) })}</p>}
        </div>
      )}
    </section>
  );
}

/** "46,872 stored, 0 lost, 0 twice, 12 late": what is not zero and should be stands out. */
function AuditLine({ account: a }: { account: Account }) {
  const { words, format } = useApp();
  const { t, n } = words;
  const parts = [
    { text: t('audit.n_stored', { n: format.count(a.stored) }), bad: false },
    {
      text: t('audit.n_lost', { n: format.count(a.lost) }) + (a.lostUnknown ? ` ${n('audit.and_ranges', a.lostUnknown, format.count(a.lostUnknown))}` : ''),
      bad: (a.lost ?? 0) > 0 || (a.lostUnknown ?? 0) > 0,
    },
    { text: t('audit.n_twice', { n: format.count(a.twice) }), bad: (a.twice ?? 0) > 0 },
    { text: t('audit.n_late', { n: format.count(a.late) }), bad: false },
  ];
  return (
    <>
      {parts.map((p, i) => (
        <span key={i} class={p.bad ? 'bad' : ''}>
          {p.text}
          {i < parts.length - 1 ? ', ' : ''}
        </span>
      ))}
    </>
  );
}

function AlarmLine({ alarm, now }: { alarm: Alarm; now: number }) {
  const { words, format } = useApp();
  const since = alarm.since ? Date.parse(alarm.since) : Number.NaN;
  return (
    <li class={alarm.kind === 'unaccounted' ? 'grave' : ''}>
      <WarnMark />
      <span>
        <strong>{words.word('alarm', alarm.kind)}</strong>
        {Number.isFinite(since) && <span class="num">{` · ${words.t('audit.alarm_since', { time: format.moment(since, now) })}`}</span>}
        {alarm.detail && <span class="wrap">{` · ${alarm.detail}`}</span>}
      </span>
    </li>
  );
}

/** Taken in, and where it is: the sum that has to come out even. */
function Ledger(props: { gateway: Gateway; account: Account; losses: Loss[]; route: FleetRoute; now: number }) {
  const { gateway: g, account: a, route, now } = props;
  const { words, format } = useApp();
  const { t, n } = words;
  const reasons = byReason(g, props.losses);
  const flight = a.open !== null && a.held !== null ? t('audit.flight_parts', { open: format.count(a.open), held: format.count(a.held) }) : t('audit.flight_hint');
  const unaccounted = (a.unaccounted ?? 0) !== 0;
  const range = (from: number | null, to: number | null) =>
    from === null || to === null ? t('audit.no_range') : `${format.moment(from, now)} – ${format.moment(to, now)}`;
  const bookings = [
    { key: 'taken', label: t('audit.taken'), value: a.taken, hint: t('audit.taken_hint') },
    { key: 'stored', label: t('audit.stored'), value: a.stored, hint: t('audit.stored_hint') },
    { key: 'in_flight', label: t('audit.flight'), value: a.inFlight, hint: flight },
    {
      key: 'lost',
      label: t('audit.lost'),
      value: a.lost,
      hint: a.lostUnknown ? n('audit.ranges', a.lostUnknown, format.count(a.lostUnknown)) : t('audit.lost_hint'),
      warn: (a.lost ?? 0) > 0 || (a.lostUnknown ?? 0) > 0,
    },
    { key: 'unaccounted', label: t('audit.missing'), value: a.unaccounted, hint: t('audit.unaccounted_hint'), grave: unaccounted },
    { key: 'twice', label: t('audit.twice'), value: a.twice, hint: t('audit.twice_hint'), grave: (a.twice ?? 0) > 0 },
    { key: 'duplicates', label: t('audit.turned_away'), value: g.duplicates_total, hint: t('audit.dup_batches', { n: format.count(g.duplicate_batches) }) },
    { key: 'late', label: t('audit.late'), value: a.late, hint: t('audit.late_hint') },
  ];
  return (
    <div class="ledger-and-losses">
      <table class="plain ledger" data-testid="ledger">
        <caption>{t('audit.title')}</caption>
        <tbody>
          {bookings.map((b) => (
            <tr key={b.key} class={b.grave ? 'grave' : b.warn ? 'warn' : ''}>
              <th scope="row">{b.label}</th>
              <td class="right num">
                {(b.grave || b.warn) && <WarnMark />}
                {format.count(b.value)}
              </td>
              <td class="sub">{b.hint}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <div>
        <h3>{t('fleet.losses')}</h3>
        {reasons.length === 0 ? (
          <p class="sub">{t('fleet.no_losses')}</p>
        ) : (
          <ul class="reasons">
            {reasons.map((r) => (
              <li key={r.reason}>
                <a href={fleetHref({ open: route.open, gateway: g.gateway, reason: r.reason })}>{words.word('loss', r.reason)}</a>
                <span class="num">
                  {r.count === null ? t('fleet.unknown_count') : format.count(r.count)}
                  {r.count !== null && r.unknown > 0 ? ` ${n('audit.and_ranges', r.unknown, format.count(r.unknown))}` : ''}
                </span>
                <span class="sub num">{range(r.from, r.to)}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}

function Facts({ gateway: g, now }: { gateway: Gateway; now: number }) {
  const { words, format } = useApp();
  const { t, n } = words;
  const seen = g.last_seen === null ? null : Date.parse(g.last_seen);
  const skew = skewSeconds(g);
  const skewed = Math.abs(skew ?? 0) > SKEW_LIMIT_S;
  const full = fill(g);
  const hours = g.spool_hours_left ?? null;
  const time = (text: string | null) => (text === null ? UNKNOWN : format.moment(Date.parse(text), now));
  const room = [full === null ? '' : t('audit.of_max', { share: format.percent(full, 0), max: format.bytes(g.spool_max_bytes) }), hours === null ? '' : t('audit.hours_left', { hours: format.hours(hours * 3600) })];
  const facts: { label: string; value: string; more?: string; warn?: boolean; share?: number | undefined }[] = [
    { label: t('fleet.last_seen'), value: seen === null ? UNKNOWN : t('fleet.ago', { age: format.age(now - seen) }), more: time(g.last_seen), warn: !g.online && !g.revoked_at },
    {
      label: t('fleet.backlog'),
      value: g.backlog_entries === null ? UNKNOWN : n('fleet.entries', g.backlog_entries, format.count(g.backlog_entries)),
      more: g.backlog_entries ? t('fleet.oldest', { age: format.duration(g.oldest_unsent_age_s) }) : '',
      warn: (g.oldest_unsent_age_s ?? 0) > LAG_LIMIT_S,
    },
    {
      label: t('fleet.buffer'),
      value: format.bytes(g.spool_bytes),
      more: room.filter((r) => r !== '').join(' · '),
      warn: (full ?? 0) > FILL_LIMIT || (hours !== null && hours < HOURS_LIMIT),
      share: full ?? undefined,
    },
    {
      label: t('audit.durable'),
      value: typeof g.durable === 'boolean' ? t(g.durable ? 'audit.durable.yes' : 'audit.durable.no') : UNKNOWN,
      more: typeof g.generations === 'number' ? n('audit.generations', g.generations, format.count(g.generations)) : '',
      warn: g.durable === false,
    },
    { label: t('audit.written'), value: format.bytes(g.written_today_bytes) },
    {
      label: t('fleet.skew'),
      value: format.duration(skew),
      more: g.time_quality === null ? '' : words.word('fleet.time', g.time_quality),
      warn: skewed || g.time_quality === 'unsynced',
    },
    { label: t('fleet.readings'), value: format.count(g.readings_total), more: `${t('fleet.batches')}: ${format.count(g.batches)}` },
    { label: t('fleet.version'), value: g.version ?? UNKNOWN, more: g.started_at ? `${t('fleet.started')} ${time(g.started_at)}` : '' },
  ];
  return (
    <dl class="facts-grid">
      {facts.map((f) => (
        <div key={f.label} class={f.warn ? 'warn' : ''}>
          <dt>{f.label}</dt>
          <dd class="num">
            {f.warn && <WarnMark />}
            {f.value}
            {f.share !== undefined && (
              <svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
                <rect class="track" width="100" height="6" />
                <rect class={f.warn ? 'over' : 'fill'} width={Math.max(0.5, Math.min(1, f.share) * 100)} height="6" />
              </svg>
            )}
            {f.more && <span class="sub">{f.more}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Sources({ gateway: g, now }: { gateway: Gateway; now: number }) {
  const { words, format } = useApp();
  const { t } = words;
  return (
    <div>
      <h3>{t('fleet.sources')}</h3>
      {(g.sources ?? []).length === 0 ? (
        <p class="sub">{t('fleet.no_sources')}</p>
      ) : (
        <div class="scroll">
          <table class="plain sources">
            <thead>
              <tr>
                <th>{t('fleet.source')}</th>
                <th class="wide-only">{t('fleet.kind')}</th>
                <th>{t('fleet.source_state')}</th>
                <th>{t('fleet.last_data')}</th>
              </tr>
            </thead>
            <tbody>
              {(g.sources ?? []).map((s) => {
                const last = s.last_data_at === null ? null : Date.parse(s.last_data_at);
                const bad = !s.connected || sourceQuiet(s.last_data_at, now);
                return (
                  <tr key={s.name} class={bad ? 'warn' : ''}>
                    <td>
                      {s.name} <span class="sub phone-only">{words.word('source', s.kind)}</span>
                    </td>
                    <td class="wide-only">{words.word('source', s.kind)}</td>
                    <td>
                      <span class="with-mark">
                        <StateMark state={s.connected ? (bad ? 'stale' : 'producing') : 'offline'} />
                        {t(s.connected ? 'fleet.connected' : 'fleet.disconnected')}
                      </span>
                      {s.error && <span class="sub wrap">{s.error}</span>}
                    </td>
                    <td class="num">{last === null ? t('fleet.no_data_yet') : t('fleet.ago', { age: format.age(now - last) })}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
