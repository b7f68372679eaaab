/** Where the planned time went: from the tree of machines to the losses, their reasons, each stop, and what would be without them. */

import { useEffect, useMemo } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { OeeDetail, ParetoBy, Restated } from '../api/oee-types.ts';
import { ParetoChart } from '../chart/pareto.tsx';
import { TimeLines } from '../chart/time-lines.tsx';
import { Waterfall } from '../chart/waterfall.tsx';
import { addTexts } from '../i18n/catalogue.ts';
import { texts as shared } from '../i18n/analysis.ts';
import { texts } from '../i18n/oee.ts';
import { bucketFor, refreshFor } from '../model/calendar.ts';
import { isMachine, waterfall } from '../model/losses.ts';
import type { Period } from '../model/range.ts';
import { finite } from '../model/rollup.ts';
import { machineHref, type OeeRoute, oeeHref } from '../route.ts';
import { useApp, usePlant } from '../state/context.ts';
import { replaceAddress, useFetch } from '../state/fetch.ts';
import '../styles/analysis.css';
import '../styles/oee.css';
import '../styles/oee-timeline.css';
import { Behind, Flags, Waiting } from '../ui/behind.tsx';
import { Bar, FACTORS } from '../ui/kpi.tsx';
import { WarnMark } from '../ui/marks.tsx';
import { type Chosen, PeriodPicker, useChosen } from '../ui/period.tsx';
import { ScopeTree, useScope } from '../ui/scope.tsx';
import { ChangesPanel, RestatedPanel } from './oee-changes.tsx';
import { TimelinePanel } from './oee-timeline.tsx';
import { WhatIfPanel } from './oee-what-if.tsx';

addTexts(shared, texts);

const BYS: ParetoBy[] = ['reason', 'top_reason', 'category'];

export default function OeePage({ route }: { route: OeeRoute }) {
  const { words } = useApp();
  const plant = usePlant();
  const { t } = words;
  const scope = useScope(route.scope);
  const chosen = useChosen(route.time);
  const { passed, before } = chosen;
  const by = (BYS as string[]).includes(route.by) ? (route.by as ParetoBy) : 'reason';
  const refresh = chosen.running && passed ? refreshFor(passed) : undefined;
  useEffect(() => {
    document.title = `${t('nav.oee')} ${scope} · Millrace`;
    return () => {
      document.title = 'Millrace';
    };
  }, [scope, t]);
  const go = (next: Partial<OeeRoute>, replace = false) => {
    const href = oeeHref({ ...route, scope, ...next });
    if (replace) replaceAddress(href);
    else location.hash = href;
  };
  // The end of a running period moves on by itself: the answer of a minute ago is not another question's.
  const asked = scope !== '' && passed !== null && passed.to > passed.from;
  const frame = asked ? `${scope} ${passed.from}-${chosen.running ? 'now' : passed.to}` : null;
  const cut = passed === null ? 'hour' : bucketFor(chosen.period ?? passed);
  const detail = useFetch(frame && `${frame} ${by} ${cut}`, (s) => analysis.oee({ asset: scope, ...(passed as Period), bucket: cut, by, before: before ?? undefined }, s), refresh);
  const site = scope.split('/')[0] ?? '';
  const tree = useFetch(frame && scope !== site ? `${site} ${passed?.from}-${chosen.running ? 'now' : passed?.to}` : null, (s) => analysis.oee({ asset: site, ...(passed as Period) }, s), refresh);
  const restated = useFetch(frame && `restated ${frame}`, (s) => analysis.restatements(scope, passed as Period, s), refresh);
  const rollUp = scope === site ? (detail.value?.roll_up ?? null) : (tree.value?.roll_up ?? null);

  if (plant.loadedAt !== null && plant.assets.length === 0)
    return (
      <div class="page">
        <h1 tabIndex={-1}>{t('nav.oee')}</h1>
        <section class="panel empty">
          <h2>{t('plant.no_machines')}</h2>
          <p>{t('plant.no_machines_hint')}</p>
        </section>
      </div>
    );
  const answer = detail.value;
  return (
    <div class={`page analysis oee-page ${detail.old && answer ? 'is-old' : ''}`}>
      <header class="analysis-head">
        <h1 tabIndex={-1}>
          {t('nav.oee')} <span class="scope-name">{scope.split('/').at(-1)}</span>
        </h1>
        <PeriodPicker choice={route.time} chosen={chosen} go={(time) => go({ time, stop: null, shift: null })} />
      </header>
      <div class="with-tree">
        <nav class="panel tree-panel" aria-label={t('analysis.scope')}>
          <details open={matchMedia('(min-width: 900px)').matches}>
            <summary>
              <h2>{t('analysis.scope')}</h2>
              <span class="sub tree-now">{scope}</span>
            </summary>
            <ScopeTree scope={scope} rollUp={rollUp} href={(path) => oeeHref({ time: route.time, by: route.by, scope: path })} />
            {tree.error !== null && <p class="note">{t('oee.tree_failed', { reason: tree.error })}</p>}
          </details>
        </nav>
        <div class="analysis-body">
          {answer === null ? (
            <section class="panel">
              <Waiting error={detail.error ?? (passed === null ? chosen.error : null)} />
            </section>
          ) : (
            <>
              {detail.error !== null && <p class="note bad">{t('app.failed', { reason: detail.error })}</p>}
              <Figures answer={answer} scope={scope} restated={restated.value ?? []} />
              <Losses answer={answer} route={route} by={by} go={go} />
              {isMachine(scope) ? (
                <TimelinePanel
                  key={scope}
                  asset={scope}
                  chosen={chosen}
                  route={route}
                  go={go}
                  refreshMs={refresh}
                  changed={() => {
                    detail.again();
                    tree.again();
                    restated.again();
                  }}
                />
              ) : (
                <p class="panel sub">{t('oee.choose_machine')}</p>
              )}
              <Trend answer={answer} chosen={chosen} cut={cut} restated={restated.value ?? []} go={go} />
              <div class="two">
                <ChangesPanel comparison={answer.comparison} before={before} />
                <WhatIfPanel key={`${scope} ${passed?.from}`} scope={scope} period={passed as Period} rows={answer.pareto.rows} />
              </div>
              <RestatedPanel items={restated.value ?? []} />
            </>
          )}
        </div>
      </div>
    </div>
  );
}

function Figures({ answer, scope, restated }: { answer: OeeDetail; scope: string; restated: Restated[] }) {
  const { words, format } = useApp();
  const { t } = words;
  const oee = answer.total;
  const coverage = finite(oee.coverage);
  const value = finite(oee.oee);
  const flags = (oee.flags ?? []).filter((f) => f !== 'partly_no_data');
  return (
    <section class="panel kpis" aria-labelledby="figures-title">
      <header class="panel-head">
        <h2 id="figures-title">{scope}</h2>
        {isMachine(scope) && <a href={machineHref(scope)}>{t('oee.to_machine')}</a>}
      </header>
      <div class="kpi-grid">
        <div class="kpi main">
          <span class="label">{t('kpi.oee')}</span>
          <span class="big num" data-testid="oee-total">
            {value === null ? <small>{t('analysis.no_data')}</small> : format.percent(value)}
          </span>
          <Bar ratio={value} strong />
        </div>
        {FACTORS.map(({ name }) => {
          const ratio = finite(oee[name]);
          return (
            <div class="kpi" key={name}>
              <span class="label">{t(`kpi.${name}`)}</span>
              <span class="mid num">{ratio === null ? <small>{t('analysis.no_data')}</small> : format.percent(ratio)}</span>
              <Bar ratio={ratio} />
            </div>
          );
        })}
        <div class="kpi">
          <span class="label">{t('kpi.parts')}</span>
          <span class="mid num">{format.count(oee.counts?.produced)}</span>
          <span class="sub num">
            {t('kpi.good', { n: format.count(oee.counts?.good) })} · {t('kpi.rejected', { n: format.count(oee.counts?.rejected) })}
          </span>
        </div>
      </div>
      {coverage !== null && coverage < 0.995 && <p class="note">{t('oee.coverage', { share: format.percent(coverage, 0), time: format.duration(oee.times?.no_data_s) })}</p>}
      <Flags set="flag" flags={flags} />
      {restated.length > 0 && (
        <p class="note">
          <WarnMark /> {words.n('restated.mark', restated.length)}
        </p>
      )}
    </section>
  );
}

type Go = (next: Partial<OeeRoute>, replace?: boolean) => void;

function Losses({ answer, route, by, go }: { answer: OeeDetail; route: OeeRoute; by: ParetoBy; go: Go }) {
  const { words, format } = useApp();
  const { t } = words;
  const rows = useMemo(() => waterfall(answer.losses), [answer.losses]);
  const catalogue = useFetch('reasons', (s) => analysis.stopReasons(s));
  const names = useMemo(() => new Map((catalogue.value ?? []).map((r) => [r.code, r.name])), [catalogue.value]);
  const open = (loss: string) => go({ loss: route.loss === loss ? '' : loss }, true);
  return (
    <div class="two">
      <section class="panel" aria-labelledby="waterfall-title">
        <header class="panel-head">
          <h2 id="waterfall-title">{t('oee.waterfall')}</h2>
          <span class="sub">{t('oee.waterfall_hint')}</span>
        </header>
        {rows.length === 0 ? (
          <p class="sub">{t('oee.nothing_planned')}</p>
        ) : (
          <>
            <Waterfall rows={rows} oee={answer.total} open={route.loss} toggle={open} reasonName={(code) => names.get(code)} />
            <Behind
              title={t('oee.waterfall')}
              columns={[{ name: t('oee.loss') }, { name: t('table.length'), right: true }, { name: 's', right: true }, { name: t('oee.points'), right: true }, { name: t('oee.stops_title'), right: true }, { name: t('kpi.parts'), right: true }]}
              rows={() => rows.map((r) => [words.word('node', r.key), format.duration(r.seconds), format.value(r.seconds, 1), format.value(r.points, 2), r.stops === null ? '' : format.count(r.stops), r.parts === null ? '' : format.count(Math.round(r.parts))])}
            />
          </>
        )}
      </section>
      <section class="panel" aria-labelledby="pareto-title">
        <header class="panel-head">
          <h2 id="pareto-title">{t('oee.pareto')}</h2>
          <div class="segments small" role="group" aria-labelledby="pareto-title">
            {BYS.map((b) => (
              <button key={b} type="button" class="small" aria-pressed={by === b} onClick={() => go({ by: b === 'reason' ? '' : b }, true)}>
                {t(`oee.by.${b}`)}
              </button>
            ))}
          </div>
        </header>
        <ParetoChart rows={answer.pareto.rows} open={route.loss} choose={(loss) => go({ loss }, true)} />
        <Behind
          title={t('oee.pareto')}
          columns={[{ name: t('table.reason') }, { name: t('oee.category') }, { name: t('table.length'), right: true }, { name: t('oee.share'), right: true }, { name: t('oee.stops_title'), right: true }, { name: t('oee.mean'), right: true }, { name: t('oee.every'), right: true }, { name: t('kpi.parts'), right: true }]}
          rows={() =>
            answer.pareto.rows.map((r) => [r.has_reason ? r.name : words.word('node', r.key), words.word('node', r.category), format.duration(r.seconds), format.percent(r.share), format.count(r.stops), format.duration(r.mean_s), format.duration(r.every_s), r.parts === null ? '' : format.count(Math.round(r.parts))])
          }
        />
      </section>
    </div>
  );
}

function Trend(props: { answer: OeeDetail; chosen: Chosen; cut: 'hour' | 'shift' | 'day'; restated: Restated[]; go: (next: Partial<OeeRoute>) => void }) {
  const { words, format } = useApp();
  const { t } = words;
  const { answer, chosen } = props;
  const plot = useMemo(() => {
    const values = (name: 'oee' | 'availability' | 'performance' | 'quality') => answer.buckets.map((b) => finite(b.oee?.[name]));
    const oee = values('oee');
    const starts = new Set(props.restated.map((r) => Date.parse(r.record.period.from)));
    const at = answer.buckets.map((b) => Date.parse(b.from) / 1000);
    const to = answer.buckets.map((b) => Date.parse(b.to) / 1000);
    const marks = props.cut === 'shift' ? at.flatMap((from, i) => (starts.has(from * 1000) ? [{ at: (from + (to[i] as number)) / 2, value: oee[i] ?? 0 }] : [])) : [];
    return {
      at,
      to,
      marks,
      lines: [
        { name: t('kpi.oee'), values: oee, stroke: 'main' as const },
        { name: t('kpi.availability'), values: values('availability'), stroke: 'dash' as const },
        { name: t('kpi.performance'), values: values('performance'), stroke: 'dot' as const },
        { name: t('kpi.quality'), values: values('quality'), stroke: 'thin' as const },
      ],
    };
  }, [answer, props.restated, props.cut, t]);
  const percent = (v: number | null) => (v === null ? t('analysis.no_data') : format.percent(v));
  return (
    <section class="panel" aria-labelledby="trend-title">
      <header class="panel-head">
        <h2 id="trend-title">{t(`oee.trend.${props.cut}`)}</h2>
        {plot.marks.length > 0 && <span class="sub">▼ {t('oee.trend_restated')}</span>}
      </header>
      {chosen.period && (
        <TimeLines
          label={t(`oee.trend.${props.cut}`)}
          {...plot}
          text={percent}
          axisText={(v) => format.percent(v, 0)}
          period={chosen.period}
          floor={0}
          ceiling={1}
          onPick={(i) => {
            const b = answer.buckets[i];
            if (b) props.go({ time: { kind: 'custom', at: null, from: Date.parse(b.from), to: Date.parse(b.to) }, stop: null, shift: null });
          }}
        />
      )}
      <p class="hint">{t('oee.trend_hint')}</p>
      <Behind
        title={t(`oee.trend.${props.cut}`)}
        columns={[{ name: t('table.from') }, { name: t('table.to') }, ...['oee', 'availability', 'performance', 'quality'].map((n) => ({ name: words.word('kpi', n), right: true })), { name: t('oee.coverage_title'), right: true }]}
        rows={() =>
          answer.buckets.map((b) => [format.dateTime(Date.parse(b.from)), format.dateTime(Date.parse(b.to)), ...(['oee', 'availability', 'performance', 'quality'] as const).map((n) => percent(finite(b.oee?.[n]))), format.percent(finite(b.oee?.coverage), 0)])
        }
      />
    </section>
  );
}
