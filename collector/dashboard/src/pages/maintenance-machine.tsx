/** One machine's life: survival, repair and failure times with their bounds, when to replace, predictions held against what came, and its events. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { Estimate, MaintenanceItem, Mtbf, PredictionsAnswer, Reliability, Replacement } from '../api/maintenance-types.ts';
import { CurveChart } from '../chart/curve.tsx';
import { TimeLines } from '../chart/time-lines.tsx';
import { survivalSteps } from '../model/life.ts';
import type { Period } from '../model/range.ts';
import { finite } from '../model/rollup.ts';
import { readNumber } from '../model/tariff.ts';
import { machineHref, maintenanceHref } from '../route.ts';
import { useApp } from '../state/context.ts';
import { useFetch } from '../state/fetch.ts';
import { Behind, Waiting } from '../ui/behind.tsx';
import { Events } from './maintenance-events.tsx';

const DAY_MS = 86_400_000;
/** Failures are rare: their history is looked at far back. */
const LIFE_MS = 2 * 365 * DAY_MS;
const PREDICTIONS_MS = 60 * DAY_MS;

export function MachineDetail(props: { asset: string; component: string; item: MaintenanceItem | undefined; scope: string; changed: () => void }) {
  const { words, plant } = useApp();
  const { t } = words;
  const { asset, component, item } = props;
  const now = useMemo(() => Math.ceil(plant.now() / 60_000) * 60_000, [asset]);
  const life: Period = { from: now - LIFE_MS, to: now };
  const [costs, setCosts] = useState<Costs | null>(null);
  const reliability = useFetch(`reliability ${asset} ${component} ${JSON.stringify(costs)}`, (s) => analysis.reliability(asset, component, life, costs, s));
  const predictions = useFetch(`predictions ${asset}`, (s) => analysis.predictions(asset, { from: now - PREDICTIONS_MS, to: now }, s));
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    title.current?.scrollIntoView({ block: 'nearest' });
    title.current?.focus({ preventScroll: true });
  }, [asset]);
  const components = useMemo(() => {
    const known = new Set(Object.keys(reliability.value?.kpis?.mttf_h ?? {}));
    if (component) known.add(component);
    return [...known].sort();
  }, [reliability.value, component]);
  return (
    <section class="detail" aria-labelledby="detail-title" data-testid="maintenance-detail">
      <header class="panel-head">
        <h2 id="detail-title" ref={title} tabIndex={-1}>
          {asset}
        </h2>
        <span class="detail-links">
          {components.length > 0 && (
            <label class="sub">
              {t('maint.component')}{' '}
              <select
                value={component}
                onChange={(e) => {
                  location.hash = maintenanceHref({ scope: props.scope, asset, component: e.currentTarget.value });
                }}
              >
                <option value="">{t('maint.whole_machine')}</option>
                {components.map((c) => (
                  <option key={c} value={c}>
                    {c.replaceAll('_', ' ')}
                  </option>
                ))}
              </select>
            </label>
          )}
          <a href={machineHref(asset)}>{t('maint.to_machine')}</a>
        </span>
      </header>
      {item && item.prediction.explanation.length > 0 && (
        <ul class="explanation">
          {item.prediction.explanation.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      {reliability.value === null ? <Waiting error={reliability.error} /> : <Life answer={reliability.value} error={reliability.error} setCosts={setCosts} />}
      <h3 class="list-title">{t('maint.history')}</h3>
      {predictions.value === null ? <Waiting error={predictions.error} /> : <History answer={predictions.value} period={{ from: now - PREDICTIONS_MS, to: now }} />}
      <Events
        asset={asset}
        period={life}
        changed={() => {
          reliability.again();
          props.changed();
        }}
      />
    </section>
  );
}

interface Costs {
  preventive: number;
  corrective: number;
}

function Life({ answer, error, setCosts }: { answer: Reliability; error: string | null; setCosts: (costs: Costs) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const { kpis, fit } = answer;
  const hours = (v: number | null | undefined) => (v == null ? t('analysis.no_data') : `${format.value(v, v < 10 ? 1 : 0)}\u202fh`);
  const bounds = (lower: number | null | undefined, upper: number | null | undefined) =>
    lower == null && upper == null ? '' : `${lower == null ? '?' : format.value(lower, 0)} … ${upper == null ? '∞' : format.value(upper, 0)}\u202fh`;
  const between = (e: Estimate | null | undefined) => (e ? `${format.value(e.value, 2)} (${e.lower === null ? '?' : format.value(e.lower, 2)} … ${e.upper === null ? '?' : format.value(e.upper, 2)})` : t('analysis.no_data'));
  const mtbf = (m: Mtbf | undefined) => (m && m.mtbf_h === null && m.one_sided_lower_h !== null ? t('maint.at_least', { time: hours(m.one_sided_lower_h) }) : hours(m?.mtbf_h));
  const steps = useMemo(() => survivalSteps(fit?.kaplan_meier.steps ?? []), [fit]);
  const replacement = answer.replacement ?? fit?.replacement ?? null;
  const rate = finite(kpis?.availability?.value) ?? finite(kpis?.operational_availability) ?? finite(kpis?.inherent_availability);
  const share = (v: number | null | undefined) => (v == null ? '?' : format.percent(v, 2));
  return (
    <>
      {error !== null && <p class="note bad">{t('app.failed', { reason: error })}</p>}
      <dl class="facts-grid">
        <div>
          <dt>{t('maint.mtbf')}</dt>
          <dd class="num">
            {mtbf(kpis?.mtbf)} <span class="sub">{bounds(kpis?.mtbf.lower_h, kpis?.mtbf.upper_h)}</span>
          </dd>
        </div>
        <div>
          <dt>{t('maint.mttr')}</dt>
          <dd class="num">
            {hours(kpis?.mttr_h)} {kpis?.mean_down_time_h != null && <span class="sub">{t('maint.down', { time: hours(kpis.mean_down_time_h) })}</span>}
          </dd>
        </div>
        {Object.entries(kpis?.mttf_h ?? {}).map(([name, m]) => (
          <div key={name}>
            <dt>{t('maint.mttf', { name: name.replaceAll('_', ' ') })}</dt>
            <dd class="num">
              {mtbf(m)} <span class="sub">{bounds(m.lower_h, m.upper_h)}</span>
            </dd>
          </div>
        ))}
        <div>
          <dt>{t('maint.availability')}</dt>
          <dd class="num">
            {rate === null ? t('analysis.no_data') : format.percent(rate, 2)}
            {kpis?.availability && <span class="sub"> {`${share(kpis.availability.lower)} … ${share(kpis.availability.upper)}`}</span>}
          </dd>
        </div>
        <div>
          <dt>{t('models.failures')}</dt>
          <dd class="num">
            {format.count(kpis?.mtbf.failures)} <span class="sub">{t('maint.in_hours', { time: hours(kpis?.mtbf.operating_time_h) })}</span>
          </dd>
        </div>
        {answer.trend?.laplace && (
          <div>
            <dt>{t('maint.trend')}</dt>
            <dd>
              {words.word('direction', answer.trend.laplace.direction)} <span class="sub num">p = {format.value(answer.trend.laplace.p_value, 2)}</span>
            </dd>
          </div>
        )}
        {fit?.weibull && (
          <div>
            <dt>{t('maint.weibull')}</dt>
            <dd class="num">
              β {between(fit.weibull.beta)} <span class="sub">{t(fit.weibull.beta.value > 1.05 ? 'maint.wear' : fit.weibull.beta.value < 0.95 ? 'maint.early' : 'maint.random')}</span>
            </dd>
          </div>
        )}
      </dl>
      {[...(kpis?.flags ?? []), ...answer.flags, ...(fit?.flags ?? [])].filter((f, i, all) => all.indexOf(f) === i).map((f) => (
        <p class="note" key={f}>
          {words.word('rflag', f)}
        </p>
      ))}
      {(fit?.notes ?? []).map((n) => (
        <p class="note" key={n}>
          {n}
        </p>
      ))}
      <div class="two">
        <div>
          <h3 class="list-title">{t('maint.survival')}</h3>
          {!fit || fit.kaplan_meier.steps.length === 0 ? (
            <p class="sub">{t('maint.survival_none')}</p>
          ) : (
            <>
              <CurveChart
                label={t('maint.survival_label', { failures: fit.failures, units: fit.units, median: hours(fit.kaplan_meier.median_h) })}
                curves={[
                  { name: t('maint.km'), kind: 'main', points: steps.map((p) => ({ x: p.age, y: p.survival })) },
                  ...(fit.weibull ? [{ name: t('maint.weibull'), kind: 'dash' as const, points: fit.weibull.curve.map((p) => ({ x: p.age_h, y: p.reliability.value })) }] : []),
                ]}
                band={steps.flatMap((p) => (p.lower === null || p.upper === null ? [] : [{ x: p.age, low: p.lower, high: p.upper }]))}
                yMax={1}
                xText={(v) => format.count(v)}
                yText={(v) => format.percent(v, 0)}
                xName={t('maint.age_h')}
                yName={t('maint.still_run')}
              />
              <Behind
                title={t('maint.survival')}
                columns={[{ name: t('maint.age_h'), right: true }, { name: t('maint.at_risk'), right: true }, { name: t('models.failures'), right: true }, { name: t('maint.still_run'), right: true }, { name: t('maint.lower'), right: true }, { name: t('maint.upper'), right: true }]}
                rows={() => fit.kaplan_meier.steps.map((s) => [format.value(s.age_h, 1), s.at_risk, s.failures, format.percent(s.survival), format.percent(s.lower), format.percent(s.upper)])}
              />
            </>
          )}
        </div>
        <ReplacementPart replacement={replacement} fitted={fit?.weibull != null} setCosts={setCosts} />
      </div>
    </>
  );
}

function ReplacementPart({ replacement, fitted, setCosts }: { replacement: Replacement | null; fitted: boolean; setCosts: (costs: Costs) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  // Very young ages cost so much that the rest would look flat.
  const costMax = Math.min(...(replacement?.curve ?? []).map((p) => p.cost_per_hour)) * 3;
  return (
    <div>
      <h3 class="list-title">{t('maint.replacement')}</h3>
      {replacement === null ? (
        <p class="sub">{t(fitted ? 'maint.replacement_costs' : 'maint.replacement_none')}</p>
      ) : (
        <>
          <p>
            {words.word('finding', replacement.finding)}
            {replacement.age_h !== null && (
              <strong class="num">
                {' '}
                {format.count(replacement.age_h)}
                {'\u202f'}h
              </strong>
            )}
            {replacement.saving !== null && <span class="sub num"> {t('maint.saving', { share: format.percent(replacement.saving, 0) })}</span>}
          </p>
          {replacement.curve.length > 1 && (
            <>
              <CurveChart
                label={t('maint.replacement')}
                curves={[{ name: t('maint.cost_rate'), kind: 'main', points: replacement.curve.filter((p) => p.cost_per_hour <= costMax).map((p) => ({ x: p.age_h, y: p.cost_per_hour })) }]}
                mark={replacement.age_h === null ? null : { x: replacement.age_h, text: `${format.count(replacement.age_h)} h` }}
                yMax={costMax}
                xText={(v) => format.count(v)}
                yText={(v) => format.value(v, v === 0 ? 0 : undefined)}
                xName={t('maint.replaced_at')}
                yName={t('maint.cost_rate')}
              />
              <Behind
                title={t('maint.replacement')}
                columns={[{ name: t('maint.replaced_at'), right: true }, { name: t('maint.cost_rate'), right: true }]}
                rows={() => replacement.curve.map((p) => [format.value(p.age_h, 0), format.value(p.cost_per_hour, 3)])}
              />
            </>
          )}
        </>
      )}
      {fitted && <CostForm setCosts={setCosts} />}
    </div>
  );
}

function CostForm({ setCosts }: { setCosts: (costs: Costs) => void }) {
  const { words } = useApp();
  const { t } = words;
  const [typed, setTyped] = useState({ preventive: '', corrective: '' });
  const [fault, setFault] = useState(false);
  return (
    <form
      class="entry"
      onSubmit={(e) => {
        e.preventDefault();
        const [preventive, corrective] = [readNumber(typed.preventive), readNumber(typed.corrective)];
        const bad = preventive === null || corrective === null || preventive <= 0 || corrective <= 0;
        setFault(bad);
        if (!bad) setCosts({ preventive, corrective });
      }}
    >
      <label>
        <span>{t('maint.cost_planned')}</span>
        <input inputMode="decimal" value={typed.preventive} onInput={(e) => setTyped({ ...typed, preventive: e.currentTarget.value })} />
      </label>
      <label>
        <span>{t('maint.cost_failed')}</span>
        <input inputMode="decimal" value={typed.corrective} onInput={(e) => setTyped({ ...typed, corrective: e.currentTarget.value })} />
      </label>
      <button type="submit">{t('maint.reckon')}</button>
      <p class={fault ? 'note bad' : 'sr'} role="alert">
        {fault && t('maint.cost_fault')}
      </p>
    </form>
  );
}

/** What was predicted, and, where the end is known, what was true. */
function History({ answer, period }: { answer: PredictionsAnswer; period: Period }) {
  const { words, format } = useApp();
  const { t } = words;
  const items = useMemo(() => answer.items.toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at)), [answer]);
  const plot = useMemo(() => {
    const truth = items.map((i) => (i.score && !i.score.censored ? i.score.true_rul_h : null));
    return {
      at: items.map((i) => Date.parse(i.at) / 1000),
      band: { low: items.map((i) => i.lower_h), high: items.map((i) => (i.rul_h === null ? null : (i.upper_h ?? i.rul_h))), name: t('maint.interval') },
      lines: [
        { name: t('maint.rul'), values: items.map((i) => i.rul_h), stroke: 'main' as const },
        ...(truth.some((v) => v !== null) ? [{ name: t('maint.truth'), values: truth, stroke: 'dash' as const }] : []),
      ],
    };
  }, [items, t]);
  if (items.length === 0) return <p class="sub">{t('maint.history_none')}</p>;
  const first = Date.parse(items[0]?.at ?? '');
  const last = Date.parse(items.at(-1)?.at ?? '');
  const shown = { from: Math.max(period.from, first - 600_000), to: Math.min(period.to, Math.max(last + 600_000, first + 3_600_000)) };
  const hours = (v: number | null) => (v === null ? t('analysis.no_data') : `${format.value(v, 0)}\u202fh`);
  return (
    <>
      <TimeLines label={t('maint.history')} {...plot} text={hours} axisText={(v) => `${format.value(v, 0)}\u202fh`} period={shown} floor={0} height={180} />
      {Object.entries(answer.summary ?? {}).map(([version, s]) => (
        <p class="sub num" key={version}>
          {version}: {words.n('maint.scored', s.predictions, format.count(s.predictions))}
          {s.failed === 0
            ? ` · ${t('maint.no_truth')}`
            : ` · ${t('maint.score', { rmse: hours(s.rmse_h), bias: hours(s.bias_h), coverage: format.percent(s.coverage, 0) })}`}
          {s.censored_too_early > 0 && ` · ${words.n('maint.too_early', s.censored_too_early)}`}
        </p>
      ))}
      <Behind
        title={t('maint.history')}
        columns={[{ name: t('table.time') }, { name: t('maint.rul'), right: true }, { name: t('maint.lower'), right: true }, { name: t('maint.upper'), right: true }, { name: t('maint.truth'), right: true }, { name: t('maint.in_interval') }, { name: t('maint.health'), right: true }, { name: t('maint.model') }]}
        rows={() =>
          items.toReversed().map((i) => [
            format.dateTime(Date.parse(i.at)),
            hours(i.rul_h),
            hours(i.lower_h),
            hours(i.upper_h),
            i.score ? `${i.score.censored ? '≥ ' : ''}${hours(i.score.true_rul_h)}` : t('maint.not_yet'),
            i.score?.in_interval == null ? '' : t(i.score.in_interval ? 'maint.yes' : 'maint.no'),
            format.percent(i.health, 0),
            i.model_version ?? '',
          ])
        }
      />
    </>
  );
}
