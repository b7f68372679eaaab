/** One machine: what it does now, its shift, its signals. Each number opens to what it is made of. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Asset, Oee } from '../api/types.ts';
import { HourBars } from '../chart/hour-bars.tsx';
import { SignalChart } from '../chart/signal-chart.tsx';
import { StateTimeline } from '../chart/state-timeline.tsx';
import { signalText, unitText } from '../format.ts';
import { newestValue } from '../model/listing.ts';
import { type Period, PRESETS, type Preset, pan, periodOf, sane, type View, zoom } from '../model/range.ts';
import { finite, partsOf } from '../model/rollup.ts';
import { clip, extend, type TimeSpan } from '../model/timeline.ts';
import { machineHref, maintenanceHref, momentHref, oeeHref, plantHref } from '../route.ts';
import { useApp, useNow, usePlant } from '../state/context.ts';
import { type History, useHistory, useOee } from '../state/machine-data.ts';
import { AnomalyText } from '../ui/anomaly.tsx';
import { Bar, FACTORS } from '../ui/kpi.tsx';
import { StateMark } from '../ui/marks.tsx';
import { Explain, type Explained } from './explain.tsx';

const DEFAULT_SHIFT_MS = 28_800_000;
const ANOMALIES_LISTED = 50;
const LOSSES = ['breakdowns', 'setup_and_adjustments', 'minor_stops', 'reduced_speed', 'process_defects', 'startup_rejects'] as const;

export default function Machine({ asset: path, view }: { asset: string; view: View }) {
  const { words } = useApp();
  const plant = usePlant();
  const { t } = words;
  const asset = plant.asset(path);
  useEffect(() => {
    document.title = `${path.split('/').at(-1)} · Millrace`;
    return () => {
      document.title = 'Millrace';
    };
  }, [path]);
  if (!asset)
    return (
      <div class="page">
        <h1 tabIndex={-1}>{path.split('/').at(-1)}</h1>
        <p>{plant.loadedAt !== null ? t('app.not_found', { name: path }) : plant.error ? t('app.failed', { reason: plant.error }) : t('app.loading')}</p>
        <a href={plantHref()}>{t('machine.back')}</a>
      </div>
    );
  return <Known asset={asset} view={view} />;
}

function Known({ asset, view }: { asset: Asset; view: View }) {
  const { words, format, plant } = useApp();
  const now = useNow();
  const { t } = words;
  const shiftFrom = asset.shift === null ? null : Date.parse(asset.shift.from);
  const shiftTo = asset.shift === null ? null : Date.parse(asset.shift.to);
  const shift = useMemo<Period | null>(
    () => (shiftFrom !== null && shiftTo !== null && shiftTo > shiftFrom ? { from: shiftFrom, to: shiftTo } : null),
    [shiftFrom, shiftTo],
  );
  // Without a shift calendar the last eight hours stand for the shift; the minute is enough, else it would be fetched each second.
  const minute = Math.floor(now / 60_000) * 60_000;
  const strip = shift ?? { from: minute - DEFAULT_SHIFT_MS, to: minute + 60_000 };
  const period = periodOf(view, now, shift);

  const signalsKey = asset.signals.map((s) => s.signal).join('\n');
  const signals = useMemo(() => asset.signals.map((s) => s.signal).sort(), [signalsKey]);
  const frame = view.preset ?? `${view.from}-${view.to}`;
  const history = useHistory(asset.asset, signals, frame, () => periodOf(view, plant.now(), shift), strip.from);
  const oee = useOee(asset.asset, shift);
  const [explained, setExplained] = useState<Explained | null>(null);

  const spans = useMemo(() => extend(history.spans, now), [history.spans, now]);
  const go = (next: Partial<View>, replace = false) => {
    const href = machineHref(asset.asset, next);
    if (replace) replaceAddress(href);
    else location.hash = href;
  };
  const zoomTo = (p: Period) => go({ preset: null, ...sane(p), at: view.at });
  const chooseSpan = (s: TimeSpan) => {
    const room = Math.max(30_000, (s.to - s.from) * 0.15);
    zoomTo({ from: s.from - room, to: s.to + room });
  };
  const explainShift = () => {
    if (explained?.kind === 'shift') setExplained(null);
    else setExplained({ kind: 'shift', from: strip.from, to: Math.min(now, strip.to), oee: asset.oee, parts: asset.parts });
  };
  const shown: Explained | null =
    explained?.kind === 'shift' ? { ...explained, to: Math.min(now, strip.to), oee: asset.oee, parts: asset.parts } : explained;

  return (
    <div class={`page machine ${asset.stale ? 'is-stale' : ''}`}>
      <nav class="crumbs" aria-label={t('machine.back')}>
        <a href={plantHref()}>{t('nav.plant')}</a>
        {[asset.site, asset.area, asset.line].map((name, i, all) => (
          <a key={name} href={plantHref(all.slice(0, i + 1).join('/'))}>
            {name}
          </a>
        ))}
      </nav>
      <Head asset={asset} now={now} />
      <div class="machine-top">
        <KpiPanel asset={asset} open={explained?.kind === 'shift'} onOpen={explainShift} />
        <NowPanel asset={asset} now={now} />
      </div>
      {shown?.kind === 'shift' && (
        <Explain what={shown} spans={spans} ideal={asset.ideal_cycle_time_s} close={() => setExplained(null)} choose={chooseSpan} />
      )}
      <section class="panel" aria-labelledby="timeline-title">
        <header class="panel-head">
          <h2 id="timeline-title">{t('machine.timeline')}</h2>
          <span class="sub">
            {asset.shift && (
              <span class="num">
                {t('machine.shift', { name: asset.shift.name, from: format.hourMinute(strip.from), to: format.hourMinute(strip.to) })}.{' '}
              </span>
            )}
            {t('machine.timeline_hint')}
          </span>
        </header>
        {clip(spans, strip.from, strip.to).length === 0 ? (
          <p class="sub">{t(history.loading ? 'app.loading' : 'machine.timeline_empty')}</p>
        ) : (
          <StateTimeline spans={clip(spans, strip.from, strip.to)} shift={strip} now={now} shown={period} choose={chooseSpan} />
        )}
      </section>
      <section class="panel" aria-labelledby="hours-title">
        <header class="panel-head">
          <h2 id="hours-title">{t('machine.hours')}</h2>
          <span class="sub">{t('machine.hours_hint')}</span>
        </header>
        {oee.error && <p class="sub">{t('app.failed', { reason: oee.error })}</p>}
        {oee.answer && (
          <HourBars
            buckets={oee.answer.buckets}
            shift={strip}
            chosen={shown?.kind === 'hour' ? shown : null}
            choose={(b) => {
              const [from, to] = [Date.parse(b.from), Date.parse(b.to)];
              setExplained(shown?.kind === 'hour' && shown.from === from ? null : { kind: 'hour', from, to, oee: b.oee, parts: null });
            }}
          />
        )}
        {shown?.kind === 'hour' && (
          <Explain what={shown} spans={spans} ideal={asset.ideal_cycle_time_s} close={() => setExplained(null)} choose={chooseSpan} />
        )}
      </section>
      <Charts asset={asset} view={view} period={period} history={history} spans={spans} signals={signals} go={go} zoomTo={zoomTo} />
      <AnomalyTable history={history} period={period} now={now} />
    </div>
  );
}

function replaceAddress(href: string): void {
  history.replaceState(null, '', href);
  window.dispatchEvent(new Event('hashchange'));
}

function Head({ asset, now }: { asset: Asset; now: number }) {
  const { words, format } = useApp();
  const { t } = words;
  const since = asset.state_since === null ? null : Date.parse(asset.state_since);
  const newest = newestValue(asset);
  return (
    <header class="machine-head">
      <h1 tabIndex={-1}>{asset.machine}</h1>
      <p class={`state-now state-${asset.stale ? 'stale' : (asset.state ?? 'no_data')}`}>
        <StateMark state={asset.stale ? 'stale' : (asset.state ?? 'no_data')} />
        <strong>{asset.stale ? t('state.stale') : words.word('state', asset.state ?? 'no_data')}</strong>
        {asset.stale && asset.state !== null && <span>{t('state.was', { state: words.word('state', asset.state).toLowerCase() })}</span>}
        {!asset.stale && asset.stop_reason && <span>{words.word('reason', asset.stop_reason)}</span>}
        {since !== null && <span class="sub num">{t('machine.since', { age: format.age(now - since), time: format.moment(since, now) })}</span>}
      </p>
      <p class="facts sub">
        <a href={oeeHref({ scope: asset.asset })}>{t('machine.to_oee')}</a>
        <a href={maintenanceHref({ asset: asset.asset })}>{t('nav.maintenance')}</a>
        {asset.gateway && <a href="#/fleet">{t('machine.gateway', { name: asset.gateway })}</a>}
        {asset.ideal_cycle_time_s !== null && <span class="num">{t('machine.ideal', { time: `${format.value(asset.ideal_cycle_time_s)}\u202fs` })}</span>}
        {newest !== null && <span class="num">{t('machine.last_value', { time: format.moment(newest, now) })}</span>}
      </p>
    </header>
  );
}

function KpiPanel({ asset, open, onOpen }: { asset: Asset; open: boolean; onOpen: () => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const oee: Oee | null = asset.oee;
  const parts = partsOf(oee, asset.parts);
  const coverage = finite(oee?.coverage);
  const good = finite(oee?.counts?.good) ?? (parts.produced === null || parts.rejected === null ? null : parts.produced - parts.rejected);
  return (
    <section class="panel kpis" aria-labelledby="kpi-title">
      <h2 id="kpi-title">{t('machine.this_shift')}</h2>
      <div class="kpi-grid">
        <div class="kpi main">
          <span class="label">{t('kpi.oee')}</span>
          <button type="button" class="number-link big num" onClick={onOpen} aria-expanded={open} data-testid="machine-oee">
            {format.percent(finite(oee?.oee))}
          </button>
          <Bar ratio={finite(oee?.oee)} strong />
        </div>
        {FACTORS.map(({ name }) => (
          <div class="kpi" key={name}>
            <span class="label">{t(`kpi.${name}`)}</span>
            <button type="button" class="number-link mid num" onClick={onOpen} aria-expanded={open}>
              {format.percent(finite(oee?.[name]))}
            </button>
            <Bar ratio={finite(oee?.[name])} />
          </div>
        ))}
        <div class="kpi">
          <span class="label">{t('kpi.parts')}</span>
          <span class="mid num" data-testid="machine-parts">
            {format.count(parts.produced)}
          </span>
          <span class="sub num">
            {t('kpi.good', { n: format.count(good) })} · {t('kpi.rejected', { n: format.count(parts.rejected) })}
          </span>
        </div>
      </div>
      <SixLosses oee={oee} />
      {coverage !== null && coverage < 0.995 && <p class="note">{t('kpi.coverage', { share: format.percent(coverage, 0) })}</p>}
      {(oee?.flags ?? []).map((flag) => {
        const text = words.known('flag', flag);
        return text === null ? null : (
          <p class="note" key={flag}>
            {text}
          </p>
        );
      })}
    </section>
  );
}

/** What the shift lost so far, by the six big losses, as shares of the planned time. */
function SixLosses({ oee }: { oee: Oee | null }) {
  const { words, format } = useApp();
  const planned = finite(oee?.times?.planned_busy_s);
  if (!oee?.losses || planned === null || planned <= 0) return null;
  const parts = LOSSES.map((id) => ({ id, s: Math.max(0, finite(oee.losses?.[id]) ?? 0) }));
  const lost = parts.reduce((sum, p) => sum + p.s, 0);
  let x = 0;
  return (
    <div class="six">
      <p class="label">
        {words.t('loss6.title')}: <span class="num">{words.t('loss6.of', { lost: format.duration(lost), planned: format.duration(planned) })}</span>
      </p>
      <svg class="lost-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width="100" height="8" />
        {parts.map(({ id, s }) => {
          const width = (s / planned) * 100;
          const at = x;
          x += width;
          return <rect key={id} class={id} x={at} width={Math.min(width, Math.max(0, 100 - at))} height="8" />;
        })}
      </svg>
      <ul class="legend">
        {parts
          .filter((p) => p.s > 0)
          .map(({ id, s }) => (
            <li key={id}>
              <i class={`swatch ${id}`} />
              <span>{words.t(`loss6.${id}`)}</span>
              <span class="num">{format.duration(s)}</span>
            </li>
          ))}
      </ul>
    </div>
  );
}

function NowPanel({ asset, now }: { asset: Asset; now: number }) {
  const { words, format } = useApp();
  const { t } = words;
  return (
    <section class="panel values" aria-labelledby="values-title">
      <h2 id="values-title">{t('machine.now')}</h2>
      <dl>
        {asset.signals.map((s) => {
          const at = s.event_time === null ? null : Date.parse(s.event_time);
          return (
            <div key={s.signal} class={s.quality === 'bad' || s.quality === 'uncertain' || asset.stale ? 'doubtful' : ''}>
              <dt>{signalText(s.signal)}</dt>
              <dd class="num" data-testid="signal-value">
                {format.value(s.value)} <span class="unit">{unitText(s.unit)}</span>
              </dd>
              <dd class="sub num">{at === null ? '' : t('fleet.ago', { age: format.age(now - at) })}</dd>
            </div>
          );
        })}
      </dl>
      {asset.signals.length === 0 && <p class="sub">{t('machine.no_signals')}</p>}
      {asset.last_anomaly && (
        <p class="last-anomaly">
          <span class="label">{t('col.anomaly')}</span>
          <a href={momentHref(asset.asset, Date.parse(asset.last_anomaly.event_time))}>
            <AnomalyText anomaly={asset.last_anomaly} now={now} />{' '}
            <span class="num">{format.moment(Date.parse(asset.last_anomaly.event_time), now)}</span>
          </a>
        </p>
      )}
    </section>
  );
}

function Charts(props: {
  asset: Asset;
  view: View;
  period: Period;
  history: History;
  spans: TimeSpan[];
  signals: string[];
  go: (view: Partial<View>, replace?: boolean) => void;
  zoomTo: (p: Period) => void;
}) {
  const { words, format } = useApp();
  const now = useNow();
  const { t } = words;
  const { asset, view, period, history } = props;
  const [copied, setCopied] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      setCopied(t('machine.copied'));
    } catch {
      setCopied(t('machine.copy_failed'));
    }
    setTimeout(() => setCopied(''), 3_000);
  };
  const reset = () => props.go({ preset: view.preset ?? '15m', at: null });
  return (
    <section class="charts" aria-labelledby="charts-title">
      <header class="charts-head">
        <h2 id="charts-title">{t('machine.charts')}</h2>
        <div class="segments" role="group" aria-label={t('machine.range')}>
          {PRESETS.map((p: Preset) => (
            <button key={p} type="button" aria-pressed={view.preset === p} onClick={() => props.go({ preset: p })}>
              {t(`machine.range.${p}`)}
            </button>
          ))}
        </div>
        <div class="segments steps">
          <button type="button" title={t('machine.earlier')} aria-label={t('machine.earlier')} onClick={() => props.zoomTo(pan(period, -0.5))}>
            ‹
          </button>
          <button type="button" title={t('machine.zoom_out')} aria-label={t('machine.zoom_out')} onClick={() => props.zoomTo(zoom(period, 2, view.at ?? undefined))}>
            −
          </button>
          <button type="button" title={t('machine.zoom_in')} aria-label={t('machine.zoom_in')} onClick={() => props.zoomTo(zoom(period, 0.5, view.at ?? undefined))}>
            +
          </button>
          <button type="button" title={t('machine.later')} aria-label={t('machine.later')} onClick={() => props.zoomTo(pan(period, 0.5))}>
            ›
          </button>
        </div>
        {view.preset === null && (
          <button type="button" class="primary small" onClick={reset}>
            {t('machine.back_to_live')}
          </button>
        )}
        <button type="button" class="small" onClick={() => void copy()}>
          {t('machine.copy')}
        </button>
        <span class="sub" role="status">
          {copied}
        </span>
      </header>
      <p class="period sub num">
        {format.moment(period.from, now)} – {format.moment(period.to, now)} {format.zone(period.to)}
        {' · '}
        {t('machine.bucket', { length: format.duration(history.stepS) })}
        <span class="key">
          <i class="swatch mean" /> {t('machine.mean')}
        </span>
        <span class="key">
          <i class="swatch band" /> {t('machine.band')}
        </span>
        <span class="key">
          <i class="swatch state-unplanned_stop" /> {words.word('state', 'unplanned_stop')}
        </span>
        <span class="key">
          <i class="swatch waiting" /> {t('plant.waiting_hint')}
        </span>
      </p>
      {history.error && <p class="note bad">{t('app.failed', { reason: history.error })}</p>}
      <p id="chart-hint" class="sr">
        {t('machine.chart_hint')}
      </p>
      <div class="chart-stack">
        {props.signals.map((signal) => {
          const unit = asset.signals.find((s) => s.signal === signal)?.unit ?? '';
          const buffer = history.series.get(signal);
          return (
            <SignalChart
              key={signal}
              signal={signal}
              unit={unit}
              columns={buffer ? buffer.columns(period.from / 1000, period.to / 1000) : { at: [], min: [], max: [], mean: [] }}
              period={period}
              anomalies={history.anomalies.filter((a) => a.signal === signal)}
              spans={props.spans}
              at={view.at}
              stepS={history.stepS}
              stale={asset.stale}
              onZoom={props.zoomTo}
              onReset={reset}
              onMoment={(at) => props.go({ ...view, at }, true)}
            />
          );
        })}
      </div>
      <p class="hint">{t('machine.chart_hint')}</p>
    </section>
  );
}

function AnomalyTable({ history, period, now }: { history: History; period: Period; now: number }) {
  const { words, format } = useApp();
  const { t } = words;
  const listed = history.anomalies.filter((a) => {
    const at = Date.parse(a.event_time);
    return at >= period.from && at <= period.to;
  });
  return (
    <section class="panel" aria-labelledby="anomalies-title">
      <h2 id="anomalies-title">{t('machine.anomalies')}</h2>
      {listed.length === 0 ? (
        <p class="sub">{t('machine.anomalies_none')}</p>
      ) : (
        <div class="scroll" tabIndex={0} role="group" aria-labelledby="anomalies-title">
          <table class="plain">
            <thead>
              <tr>
                <th>{t('table.time')}</th>
                <th>{t('table.kind')}</th>
                <th>{t('table.severity')}</th>
                <th class="right">{t('table.value')}</th>
                <th class="right">{t('table.limit')}</th>
                <th>{t('table.detector')}</th>
                <th>{t('table.detail')}</th>
              </tr>
            </thead>
            <tbody>
              {listed.slice(0, ANOMALIES_LISTED).map((a) => {
                const at = Date.parse(a.event_time);
                return (
                  <tr key={`${a.event_time}${a.signal}${a.detector}`}>
                    <td class="num">
                      <a href={momentHref(a.asset, at)}>{format.moment(at, now)}</a>
                    </td>
                    <td>
                      <AnomalyText anomaly={a} now={now} />
                    </td>
                    <td>{words.word('severity', a.severity)}</td>
                    <td class="right num">{format.value(a.value)}</td>
                    <td class="right num">{format.value(a.threshold)}</td>
                    <td>{a.detector}</td>
                    <td class="wide">{a.message}</td>
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
