/** Where the energy went: by state, over time, for each part, what it cost, and what switching off would save. */

import { useEffect, useMemo } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { EnergyAnswer } from '../api/energy-types.ts';
import { CurveChart } from '../chart/curve.tsx';
import { StateBars } from '../chart/state-bars.tsx';
import { TimeLines } from '../chart/time-lines.tsx';
import { addTexts } from '../i18n/catalogue.ts';
import { texts as shared } from '../i18n/analysis.ts';
import { texts } from '../i18n/energy.ts';
import { refreshFor, startOfDay } from '../model/calendar.ts';
import { baseLoad, byDay, byShift, energyBucket, type Load, load, loadDuration, ofState, peaks, type StateBar, switchOff } from '../model/power.ts';
import type { Period } from '../model/range.ts';
import { finite } from '../model/rollup.ts';
import { type EnergyRoute, energyHref, machineHref } from '../route.ts';
import { useApp, usePlant } from '../state/context.ts';
import { useFetch } from '../state/fetch.ts';
import '../styles/analysis.css';
import '../styles/energy.css';
import { Behind, Flags, Waiting } from '../ui/behind.tsx';
import { PeriodPicker, useChosen } from '../ui/period.tsx';
import { useEnergyText } from '../ui/quantity.ts';
import { ScopeSelect, useScope } from '../ui/scope.tsx';
import { CostPanel, SwitchOffPanel } from './energy-cost.tsx';

addTexts(shared, texts);

const PEAKS = 5;
/** More shifts than this side by side are told by day. */
const MAX_BARS = 24;

export default function EnergyPage({ route }: { route: EnergyRoute }) {
  const { words } = useApp();
  const plant = usePlant();
  const { t } = words;
  const scope = useScope(route.scope);
  const chosen = useChosen(route.time);
  const { passed } = chosen;
  useEffect(() => {
    document.title = `${t('nav.energy')} ${scope} · Millrace`;
    return () => {
      document.title = 'Millrace';
    };
  }, [scope, t]);
  const go = (next: Partial<EnergyRoute>) => {
    location.hash = energyHref({ ...route, scope, ...next });
  };
  const machines = Math.max(1, plant.assets.filter((a) => a.asset === scope || a.asset.startsWith(`${scope}/`)).length);
  const bucket = passed ? energyBucket(passed, machines) : 'hour';
  const asked = scope !== '' && passed !== null && passed.to > passed.from;
  const answer = useFetch(
    asked ? `${scope} ${passed.from}-${chosen.running ? 'now' : passed.to} ${bucket}` : null,
    (s) => analysis.energy(scope, passed as Period, bucket, s),
    chosen.running && passed ? refreshFor(passed) : undefined,
  );
  const value = answer.value;
  return (
    <div class={`page analysis energy-page ${answer.old && value ? 'is-old' : ''}`}>
      <header class="analysis-head">
        <h1 tabIndex={-1}>
          {t('nav.energy')} <span class="scope-name">{scope.split('/').at(-1)}</span>
        </h1>
        <ScopeSelect scope={scope} go={(path) => go({ scope: path })} />
        <PeriodPicker choice={route.time} chosen={chosen} go={(time) => go({ time })} />
      </header>
      {value === null ? (
        <section class="panel">
          <Waiting error={answer.error ?? (passed === null ? chosen.error : null)} />
        </section>
      ) : (
        <>
          {answer.error !== null && <p class="note bad">{t('app.failed', { reason: answer.error })}</p>}
          <Totals answer={value} />
          {value.machines.length > 0 && (
            <>
              <States answer={value} />
              <LoadPanel answer={value} bucket={bucket} period={chosen.period as Period} />
              <div class={switchOff(value.machines) === null ? 'one' : 'two'}>
                <CostPanel cost={value.total?.cost ?? null} kwh={value.total?.totals.kwh ?? 0} changed={answer.again} />
                <SwitchOffPanel machines={value.machines} />
              </div>
              <Machines answer={value} time={route.time} />
            </>
          )}
        </>
      )}
    </div>
  );
}

function Totals({ answer }: { answer: EnergyAnswer }) {
  const { words, format } = useApp();
  const { t } = words;
  const energyText = useEnergyText();
  const { total, machines } = answer;
  const unmetered = answer.unmetered ?? [];
  const base = baseLoad(machines);
  const ratios = total?.ratios;
  const flags = [...new Set(machines.flatMap((m) => m.report.flags))].filter((f) => f !== 'no_data' || machines.every((m) => m.report.flags.includes('no_data')));
  const coverage = finite(ratios?.coverage);
  const known = total !== null && machines.length > 0 && !machines.every((m) => m.report.flags.includes('no_data'));
  const figure = (label: string, value: string | null, why: string, sub?: string) => (
    <div class="kpi">
      <span class="label">{label}</span>
      <span class="mid num">{value ?? <small>{t('analysis.no_data')}</small>}</span>
      <span class="sub">{value === null ? why : sub}</span>
    </div>
  );
  return (
    <section class="panel kpis" aria-labelledby="energy-title">
      <h2 id="energy-title">{answer.asset}</h2>
      <div class="kpi-grid">
        <div class="kpi main">
          <span class="label">{t('energy.used')}</span>
          <span class="big num" data-testid="energy-kwh">
            {known ? format.value(total.totals.kwh, total.totals.kwh >= 100 ? 0 : 1) : <small>{t('analysis.no_data')}</small>} {known && <small>kWh</small>}
          </span>
          <span class="sub">{words.n('energy.metered', machines.length)}</span>
        </div>
        {figure(t('energy.per_part'), known && ratios?.per_part_kwh != null ? energyText(ratios.per_part_kwh) : null, t('energy.per_part_none'), ratios?.per_good_part_kwh == null ? '' : t('energy.per_good', { n: energyText(ratios.per_good_part_kwh) }))}
        {figure(t('energy.not_producing'), known && ratios?.non_producing_share != null ? format.percent(ratios.non_producing_share) : null, t('energy.not_producing_none'), t('energy.not_producing_hint'))}
        {figure(t('energy.base'), base.kw === null ? null : `${format.value(base.kw)}\u202fkW`, t('energy.base_none'), base.of < machines.length ? t('energy.base_of', { n: base.of, all: machines.length }) : t('energy.base_hint'))}
        {figure(t('energy.mean'), known && ratios?.mean_kw != null ? `${format.value(ratios.mean_kw)}\u202fkW` : null, t('flag_energy.no_data'), machines.length > 1 ? t('energy.mean_each') : '')}
      </div>
      {known && coverage !== null && coverage < 0.995 && <p class="note">{t('energy.coverage', { share: format.percent(coverage, 0) })}</p>}
      {known && (total?.totals.undated_kwh ?? 0) > 0 && <p class="note">{t('energy.undated', { kwh: format.value(total.totals.undated_kwh, 1) })}</p>}
      <Flags set="flag_energy" flags={flags.filter((f) => f !== 'holes' && f !== 'undated')} />
      {unmetered.length > 0 && (
        <details class="note unmetered" open={machines.length === 0} data-testid="unmetered">
          <summary>{words.n('energy.unmetered', unmetered.length)}</summary>
          <ul>
            {unmetered.map((asset) => (
              <li key={asset}>
                <a href={machineHref(asset)}>{asset}</a>
              </li>
            ))}
          </ul>
          <p class="sub">{t('energy.unmetered_hint')}</p>
        </details>
      )}
    </section>
  );
}

function States({ answer }: { answer: EnergyAnswer }) {
  const { words, format } = useApp();
  const { t } = words;
  const energyText = useEnergyText();
  const shifts = useMemo(() => byShift(answer.machines), [answer]);
  const byDays = shifts.length > MAX_BARS;
  const bars = useMemo(() => (byDays ? byDay(shifts, (ms) => startOfDay(ms, format.timeZone), (ms) => format.day(ms)) : shifts), [shifts, byDays, format]);
  const days = new Set(bars.map((b) => format.day(b.from))).size;
  const nameOf = (b: StateBar) => (byDays || days === 1 ? b.name : `${b.name} ${format.day(b.from)}`);
  const whole = answer.total ? ofState(answer.total.totals) : [];
  const shown: StateBar[] =
    bars.length > 0
      ? bars
      : answer.total
        ? [
            {
              name: t('energy.whole_period'),
              from: Date.parse(answer.from),
              to: Date.parse(answer.to),
              kwh: Object.fromEntries(Object.entries(answer.total.totals.by_state).map(([s, v]) => [s, v.kwh])) as StateBar['kwh'],
              total: answer.total.totals.kwh,
              produced: answer.total.totals.produced_metered,
              known_s: answer.total.totals.measured_s + answer.total.totals.interpolated_s,
              machines: answer.machines.length,
            },
          ]
        : [];
  return (
    <section class="panel" aria-labelledby="states-title">
      <header class="panel-head">
        <h2 id="states-title">{t(byDays ? 'energy.by_day' : 'energy.by_shift')}</h2>
        <span class="sub">kWh</span>
      </header>
      <StateBars bars={shown} nameOf={nameOf} />
      <Behind
        title={t('energy.by_shift')}
        columns={[{ name: t('period.shift') }, { name: 'kWh', right: true }, ...whole.map((s) => ({ name: s.state === 'unknown' ? t('energy.unknown_state') : words.word('state', s.state), right: true })), { name: t('kpi.parts'), right: true }, { name: t('energy.per_part'), right: true }]}
        rows={() => shown.map((b) => [nameOf(b), b.known_s > 0 ? format.value(b.total, 2) : t('analysis.no_data'), ...whole.map((s) => format.value(b.kwh[s.state], 2)), format.count(Math.round(b.produced)), b.produced > 0 ? energyText(b.total / b.produced) : t('analysis.no_data')])}
      />
    </section>
  );
}

function LoadPanel({ answer, bucket, period }: { answer: EnergyAnswer; bucket: 'quarter_hour' | 'hour' | 'day'; period: Period }) {
  const { words, format } = useApp();
  const { t } = words;
  const loads = useMemo(() => load(answer.machines), [answer]);
  const highest = useMemo(() => {
    const own = answer.machines.length === 1 ? answer.machines[0]?.report.peaks : answer.total?.peaks;
    // The collector's peaks are of quarter hours, whatever the buckets.
    if (own && own.length > 0)
      return own.slice(0, PEAKS).map((q): Load => ({ from: Date.parse(q.from), to: Date.parse(q.from) + 900_000, kw: q.kw, coverage: q.coverage, kwh: 0 }));
    return peaks(loads, PEAKS);
  }, [answer, loads]);
  const base = baseLoad(answer.machines);
  const plot = useMemo(
    () => ({
      at: loads.map((l) => l.from / 1000),
      to: loads.map((l) => l.to / 1000),
      lines: [
        { name: t('energy.load'), values: loads.map((l) => l.kw), stroke: 'main' as const },
        ...(base.kw === null ? [] : [{ name: t('energy.base'), values: loads.map(() => base.kw), stroke: 'dot' as const }]),
      ],
      marks: highest.flatMap((p) => (p.kw === null ? [] : [{ at: (p.from + p.to) / 2000, value: p.kw }])),
    }),
    [loads, highest, base.kw, t],
  );
  const duration = useMemo(() => {
    const own = answer.machines.length === 1 ? answer.machines[0]?.report.load_duration : undefined;
    return own && own.length > 1 ? own : loadDuration(loads);
  }, [answer, loads]);
  const kw = (v: number | null) => (v === null ? t('analysis.no_data') : `${format.value(v)}\u202fkW`);
  return (
    <div class="two load-two">
      <section class="panel" aria-labelledby="load-title">
        <header class="panel-head">
          <h2 id="load-title">{t(`energy.load.${bucket}`)}</h2>
          <span class="sub">▼ {t('energy.peaks')}</span>
        </header>
        <TimeLines label={t(`energy.load.${bucket}`)} {...plot} stepped text={kw} axisText={(v) => format.value(v, v >= 10 || v === 0 ? 0 : 1)} period={period} floor={0} />
        {highest.length > 0 && (
          <ol class="peaks num">
            {highest.map((p) => (
              <li key={p.from}>
                <strong>{kw(p.kw)}</strong>{' '}
                <span class="sub">
                  {format.day(p.from)} {format.hourMinute(p.from)}
                </span>
              </li>
            ))}
          </ol>
        )}
        <Behind
          title={t(`energy.load.${bucket}`)}
          columns={[{ name: t('table.from') }, { name: 'kW', right: true }, { name: 'kWh', right: true }, { name: t('energy.data'), right: true }]}
          rows={() => loads.map((l) => [format.dateTime(l.from), l.kw === null ? t('analysis.no_data') : format.value(l.kw), format.value(l.kwh, 2), format.percent(l.coverage, 0)])}
        />
      </section>
      <section class="panel" aria-labelledby="duration-title">
        <header class="panel-head">
          <h2 id="duration-title">{t('energy.duration')}</h2>
          <span class="sub">{t('energy.duration_hint')}</span>
        </header>
        {duration.length < 2 ? (
          <p class="sub">{t('flag_energy.no_data')}</p>
        ) : (
          <>
            <CurveChart
              label={t('energy.duration')}
              curves={[{ name: t('energy.load'), kind: 'main', points: duration.map((p) => ({ x: p.share, y: p.kw })) }]}
              xText={(v) => format.percent(v, 0)}
              yText={(v) => format.value(v, v >= 10 || v === 0 ? 0 : 1)}
              xName={t('energy.of_time')}
              yName="kW"
            />
            <Behind
              title={t('energy.duration')}
              columns={[{ name: t('energy.of_time'), right: true }, { name: 'kW', right: true }]}
              rows={() => duration.map((p) => [format.percent(p.share), format.value(p.kw)])}
            />
          </>
        )}
      </section>
    </div>
  );
}

function Machines({ answer, time }: { answer: EnergyAnswer; time: EnergyRoute['time'] }) {
  const { words, format } = useApp();
  const { t } = words;
  const energyText = useEnergyText();
  if (answer.machines.length < 2) return null;
  const all = answer.machines.toSorted((a, b) => b.report.totals.kwh - a.report.totals.kwh);
  const none = t('analysis.no_data');
  return (
    <section class="panel" aria-labelledby="energy-machines">
      <h2 id="energy-machines">{t('energy.machines')}</h2>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="energy-machines">
        <table class="plain">
          <thead>
            <tr>
              <th>{t('table.asset')}</th>
              <th class="right">kWh</th>
              <th class="right">{t('energy.per_part')}</th>
              <th class="right">{t('energy.not_producing')}</th>
              <th class="right">{t('energy.base')}</th>
              <th class="right">{t('energy.cost')}</th>
              <th class="right">{t('energy.data')}</th>
            </tr>
          </thead>
          <tbody>
            {all.map(({ asset, report: r }) => {
              const empty = r.flags.includes('no_data');
              return (
                <tr key={asset}>
                  <th scope="row">
                    <a href={energyHref({ scope: asset, time })}>{asset}</a>
                  </th>
                  <td class="right num">{empty ? none : format.value(r.totals.kwh, 1)}</td>
                  <td class="right num">{r.ratios.per_part_kwh === null ? none : energyText(r.ratios.per_part_kwh)}</td>
                  <td class="right num">{r.ratios.non_producing_share === null ? none : format.percent(r.ratios.non_producing_share, 0)}</td>
                  <td class="right num">{r.base_load_kw === null ? none : `${format.value(r.base_load_kw)}\u202fkW`}</td>
                  <td class="right num">{r.cost === null ? none : format.value(r.cost.total, 2)}</td>
                  <td class="right num">{format.percent(r.ratios.coverage, 0)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}
