/** Every gateway: is it there, does its data arrive, what was lost. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { api } from '../api/client.ts';
import type { Gateway, Loss } from '../api/types.ts';
import { UNKNOWN } from '../format.ts';
import { useApp, useNow, usePlant } from '../state/context.ts';
import { StateMark, WarnMark } from '../ui/marks.tsx';

/** The clock skew from which an alarm is raised. */
const SKEW_LIMIT_S = 5;
/** An unsent entry older than this means that delivery lags. */
const LAG_LIMIT_S = 60;
const SOURCE_QUIET_MS = 60_000;
const LOSSES_LISTED = 100;
const DAY_MS = 86_400_000;
const RATE_OVER_MS = 10_000;

export default function Fleet() {
  const { words } = useApp();
  const plant = usePlant();
  const now = useNow();
  const { t } = words;
  const { gateways } = plant;
  if (plant.loadedAt === null)
    return (
      <div class="page">
        <h1 tabIndex={-1}>{t('fleet.title')}</h1>
        <p class="wait">{plant.error ? t('app.failed', { reason: plant.error }) : t('app.loading')}</p>
      </div>
    );
  return (
    <div class="page fleet">
      <h1 tabIndex={-1} class="sr">
        {t('fleet.title')}
      </h1>
      {gateways.length === 0 ? (
        <section class="panel empty">
          <h2>{t('fleet.none')}</h2>
          <p>{t('fleet.none_hint')}</p>
        </section>
      ) : (
        <>
          <Strip gateways={gateways} now={now} />
          <div class="gateways">
            {gateways.map((g) => (
              <GatewayCard key={g.gateway} gateway={g} now={now} />
            ))}
          </div>
          <LossList now={now} />
        </>
      )}
    </div>
  );
}

function sourceQuiet(last: string | null, now: number): boolean {
  return last === null || now - Date.parse(last) > SOURCE_QUIET_MS;
}

function lossTotal(gateway: Gateway): number {
  return Object.values(gateway.losses ?? {}).reduce((a, b) => a + b, 0);
}

/** Readings a second over the last moments, from the growth of a total. */
function useRate(total: number): number | null {
  const samples = useRef<{ at: number; total: number }[]>([]);
  const now = Date.now();
  const list = samples.current;
  const last = list.at(-1);
  if (!last || last.total !== total) list.push({ at: now, total });
  if (list.length > 1 && (list.at(-1) as { total: number }).total < (list.at(-2) as { total: number }).total) list.splice(0, list.length - 1);
  while (list.length > 2 && now - (list[1] as { at: number }).at > RATE_OVER_MS) list.shift();
  const [first, end] = [list[0], list.at(-1)];
  if (!first || !end || end.at - first.at < 1_500) return null;
  // Nothing new for a while counts as slowing down.
  return (end.total - first.total) / ((Math.max(end.at, now - 3_000) - first.at) / 1000);
}

function Strip({ gateways, now }: { gateways: Gateway[]; now: number }) {
  const { words, format } = useApp();
  const { t, n } = words;
  const sum = (pick: (g: Gateway) => number | null) => gateways.reduce((all, g) => all + (pick(g) ?? 0), 0);
  // A revoked gateway is meant to be silent.
  const wanted = gateways.filter((g) => !g.revoked_at);
  const online = wanted.filter((g) => g.online).length;
  const rate = useRate(sum((g) => g.readings_stored ?? g.readings_total));
  const lost = sum(lossTotal);
  const backlog = sum((g) => g.backlog_entries);
  const duplicates = sum((g) => g.duplicates_total);
  const wrong: string[] = [];
  const offline = wanted.length - online;
  if (offline > 0) wrong.push(n('fleet.offline', offline));
  const quiet = gateways.reduce((c, g) => c + (g.online ? (g.sources ?? []).filter((s) => !s.connected || sourceQuiet(s.last_data_at, now)).length : 0), 0);
  if (quiet > 0) wrong.push(n('fleet.sources_bad', quiet));
  const skewed = gateways.filter((g) => Math.abs(g.skew_s ?? 0) > SKEW_LIMIT_S).length;
  if (skewed > 0) wrong.push(n('fleet.skewed', skewed));
  return (
    <div class="summary fleet-summary">
      <section class="panel status">
        <h2>{t('fleet.online')}</h2>
        <p class="big num" data-testid="online">
          {online} <small>{t('plant.of', { n: wanted.length })}</small>
        </p>
        <p class={`verdict small ${wrong.length ? 'bad' : ''}`}>
          {wrong.length === 0
            ? t('fleet.well')
            : wrong.map((w) => (
                <span key={w} class="stale">
                  <WarnMark />
                  {w}
                </span>
              ))}
        </p>
      </section>
      <section class="panel">
        <h2>{t('fleet.rate')}</h2>
        <p class="big num" data-testid="rate">
          {rate === null ? UNKNOWN : format.value(rate, rate >= 100 ? 0 : 1)} <small>{t('fleet.per_second')}</small>
        </p>
        <p class="sub num">
          {t('fleet.stored')}: <span data-testid="stored">{format.count(sum((g) => g.readings_stored))}</span>
        </p>
      </section>
      <section class="panel">
        <h2>{t('fleet.lost')}</h2>
        <p class={`big num ${lost > 0 ? 'warn' : ''}`} data-testid="lost">
          {lost > 0 && <WarnMark />}
          {format.count(lost)}
        </p>
        <p class="sub">{lost > 0 ? t('fleet.lost_hint') : t('fleet.no_losses')}</p>
      </section>
      <section class="panel">
        <h2>{t('fleet.backlog')}</h2>
        <p class="big num">
          {format.count(backlog)} <small>{n('fleet.entries', backlog, '').trim()}</small>
        </p>
        <p class="sub num">
          {t('fleet.duplicates')}: {format.count(duplicates)}
        </p>
      </section>
    </div>
  );
}

function GatewayCard({ gateway: g, now }: { gateway: Gateway; now: number }) {
  const { words, format } = useApp();
  const { t, n } = words;
  const seen = g.last_seen === null ? null : Date.parse(g.last_seen);
  const losses = Object.entries(g.losses ?? {})
    .filter(([, count]) => count > 0)
    .sort((a, b) => b[1] - a[1]);
  const state = g.revoked_at ? 'revoked' : g.online ? 'online' : seen === null ? 'never' : 'offline';
  const skewed = Math.abs(g.skew_s ?? 0) > SKEW_LIMIT_S;
  const lagging = (g.oldest_unsent_age_s ?? 0) > LAG_LIMIT_S;
  const time = (text: string | null) => (text === null ? UNKNOWN : format.moment(Date.parse(text), now));
  const facts: { label: string; value: string; more?: string; warn?: boolean }[] = [
    { label: t('fleet.last_seen'), value: seen === null ? UNKNOWN : t('fleet.ago', { age: format.age(now - seen) }), more: time(g.last_seen), warn: !g.online },
    {
      label: t('fleet.backlog'),
      value: g.backlog_entries === null ? UNKNOWN : n('fleet.entries', g.backlog_entries, format.count(g.backlog_entries)),
      more: g.backlog_entries ? t('fleet.oldest', { age: format.duration(g.oldest_unsent_age_s) }) : '',
      warn: lagging,
    },
    { label: t('fleet.buffer'), value: format.bytes(g.spool_bytes) },
    {
      label: t('fleet.skew'),
      value: format.duration(g.skew_s),
      more: g.time_quality === null ? '' : words.word('fleet.time', g.time_quality),
      warn: skewed || g.time_quality === 'unsynced',
    },
    { label: t('fleet.readings'), value: format.count(g.readings_total), more: `${t('fleet.stored')}: ${format.count(g.readings_stored)}` },
    { label: t('fleet.batches'), value: format.count(g.batches), more: `${t('fleet.dup_batches')}: ${format.count(g.duplicate_batches)}` },
    { label: t('fleet.dup_readings'), value: format.count(g.duplicates_total) },
    { label: t('fleet.version'), value: g.version ?? UNKNOWN, more: g.started_at ? `${t('fleet.started')} ${time(g.started_at)}` : '' },
  ];
  return (
    <section class={`panel gateway is-${state}`} aria-labelledby={`gw-${g.gateway}`}>
      <header class="panel-head">
        <h2 id={`gw-${g.gateway}`}>{g.gateway}</h2>
        <span class={`gateway-state ${state}`}>
          <StateMark state={state === 'online' ? 'producing' : 'offline'} />
          {t(`fleet.gateway.${state}`)}
        </span>
      </header>
      <dl class="facts-grid">
        {facts.map((f) => (
          <div key={f.label} class={f.warn ? 'warn' : ''}>
            <dt>{f.label}</dt>
            <dd class="num">
              {f.warn && <WarnMark />}
              {f.value}
              {f.more && <span class="sub">{f.more}</span>}
            </dd>
          </div>
        ))}
      </dl>
      <h3>{t('fleet.losses')}</h3>
      {losses.length === 0 ? (
        <p class="sub">{t('fleet.no_losses')}</p>
      ) : (
        <ul class="losses">
          {losses.map(([reason, count]) => (
            <li key={reason}>
              <span>{words.word('loss', reason)}</span>
              <span class="num">{format.count(count)}</span>
            </li>
          ))}
        </ul>
      )}
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
    </section>
  );
}

/** Each loss with its reason, place and time: fetched when it is opened. */
function LossList({ now }: { now: number }) {
  const { words, format, plant } = useApp();
  const { t } = words;
  const [open, setOpen] = useState(false);
  const [losses, setLosses] = useState<Loss[] | null>(null);
  const [error, setError] = useState('');
  useEffect(() => {
    if (!open) return;
    const abort = new AbortController();
    const at = plant.now();
    api.losses(at - DAY_MS, at + 60_000, abort.signal).then(
      (list) => {
        setLosses(list.toSorted((a, b) => Date.parse(b.to) - Date.parse(a.to)));
        setError('');
      },
      (e: unknown) => {
        if (!abort.signal.aborted) setError(e instanceof Error ? e.message : String(e));
      },
    );
    return () => abort.abort();
  }, [open, plant, plant.generation]);
  return (
    <details class="panel loss-list" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{t('fleet.loss_list')}</summary>
      {error && <p class="note bad">{t('app.failed', { reason: error })}</p>}
      {open && losses === null && !error && <p class="sub">{t('app.loading')}</p>}
      {losses !== null && losses.length === 0 && <p class="sub">{t('fleet.loss_list_none')}</p>}
      {losses !== null && losses.length > 0 && (
        <div class="scroll">
          <table class="plain">
            <thead>
              <tr>
                <th>{t('table.from')}</th>
                <th>{t('table.to')}</th>
                <th>{t('table.gateway')}</th>
                <th>{t('table.asset')}</th>
                <th>{t('table.why')}</th>
                <th class="right">{t('table.count')}</th>
                <th>{t('table.detail')}</th>
              </tr>
            </thead>
            <tbody>
              {losses.slice(0, LOSSES_LISTED).map((l, i) => (
                <tr key={i}>
                  <td class="num">{format.moment(Date.parse(l.from), now)}</td>
                  <td class="num">{format.moment(Date.parse(l.to), now)}</td>
                  <td>{l.gateway}</td>
                  <td>{l.asset ? `${l.asset.split('/').at(-1)}${l.signal ? ` · ${l.signal}` : ''}` : UNKNOWN}</td>
                  <td>{words.word('loss', l.reason)}</td>
                  <td class="right num">{l.count === 0 ? t('fleet.unknown_count') : format.count(l.count)}</td>
                  <td class="wide">{l.detail}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
