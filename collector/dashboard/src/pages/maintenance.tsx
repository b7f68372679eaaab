/** What will fail next, and why: every machine on one scale of time, the most urgent first. */

import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { EventBody, MaintenanceItem, ModelCard } from '../api/maintenance-types.ts';
import { addTexts } from '../i18n/catalogue.ts';
import { texts as shared } from '../i18n/analysis.ts';
import { texts } from '../i18n/maintenance.ts';
import { healthWord, lifeScale, urgency } from '../model/life.ts';
import { type MaintenanceRoute, maintenanceHref } from '../route.ts';
import { useApp, useNow } from '../state/context.ts';
import { useFetch } from '../state/fetch.ts';
import '../styles/analysis.css';
import '../styles/maintenance.css';
import { Behind, Waiting } from '../ui/behind.tsx';
import { SeverityMark } from '../ui/marks.tsx';
import { useLifeText } from '../ui/quantity.ts';
import { ScopeSelect } from '../ui/scope.tsx';
import { MachineDetail } from './maintenance-machine.tsx';
import { Models } from './maintenance-models.tsx';

addTexts(shared, texts);

const REFRESH_MS = 60_000;
const DRIVERS_SHOWN = 3;
/** A thousand rows with their reasons are too many to read and to draw. */
const ROWS_SHOWN = 40;

export default function MaintenancePage({ route }: { route: MaintenanceRoute }) {
  const { words } = useApp();
  const { t } = words;
  const answer = useFetch(`maintenance ${route.scope}`, (s) => analysis.maintenance(route.scope, s), REFRESH_MS);
  useEffect(() => {
    document.title = `${t('nav.maintenance')} · Millrace`;
    return () => {
      document.title = 'Millrace';
    };
  }, [t]);
  const items = useMemo(() => (answer.value?.items ?? []).toSorted((a, b) => a.rank - b.rank), [answer.value]);
  const scale = useMemo(() => lifeScale(items.map((i) => i.prediction)), [items]);
  const chosen = route.asset !== '' ? items.find((i) => i.asset === route.asset) : undefined;
  const models = answer.value?.models ?? null;
  const [all, setAll] = useState(false);
  const shown = all ? items : items.slice(0, ROWS_SHOWN);
  // A machine that is asked for by its address is shown wherever it ranks.
  if (chosen && !shown.includes(chosen)) shown.push(chosen);
  const detail = route.asset !== '' && <MachineDetail key={route.asset} asset={route.asset} component={route.component} item={chosen} scope={route.scope} changed={answer.again} />;
  return (
    <div class="page analysis maintenance-page">
      <header class="analysis-head">
        <h1 tabIndex={-1}>{t('nav.maintenance')}</h1>
        <ScopeSelect
          scope={route.scope}
          all={t('analysis.whole_plant')}
          go={(scope) => {
            location.hash = maintenanceHref({ scope });
          }}
        />
      </header>
      <section class="panel" aria-labelledby="rank-title">
        <header class="panel-head">
          <h2 id="rank-title">{t('maint.ranked')}</h2>
          <span class="sub">{t('maint.ranked_hint')}</span>
        </header>
        {answer.value === null ? (
          <Waiting error={answer.error} />
        ) : items.length === 0 ? (
          <p class="sub">{t('maint.none')}</p>
        ) : (
          <>
            {answer.error !== null && <p class="note bad">{t('app.failed', { reason: answer.error })}</p>}
            <LifeAxis scale={scale} />
            <ol class="ranked">
              {shown.map((item) => (
                <Ranked key={item.asset} item={item} scale={scale} models={models} open={item.asset === route.asset} href={maintenanceHref({ scope: route.scope, asset: item.asset === route.asset ? '' : item.asset })}>
                  {item === chosen && detail}
                </Ranked>
              ))}
            </ol>
            {(answer.value.total ?? 0) > items.length && <p class="sub">{t('analysis.cut', { n: items.length, all: answer.value.total ?? 0 })}</p>}
            {shown.length < items.length && (
              <button type="button" onClick={() => setAll(true)}>
                {t('maint.show_all', { n: items.length })}
              </button>
            )}
            <Behind
              title={t('maint.ranked')}
              columns={[{ name: t('table.asset') }, { name: t('maint.health'), right: true }, { name: t('maint.rul'), right: true }, { name: t('maint.lower'), right: true }, { name: t('maint.upper'), right: true }, { name: t('maint.probability'), right: true }, { name: t('maint.model') }]}
              rows={() =>
                items.map(({ asset, prediction: p }) => [
                  asset,
                  p.health === null ? t('analysis.no_data') : `${Math.round(p.health * 100)} %`,
                  ...[p.rul?.hours, p.rul?.lower_h, p.rul?.upper_h].map((h) => (h == null ? t('analysis.no_data') : `${Math.round(h)} h`)),
                  p.failure_probability === null ? t('analysis.no_data') : `${Math.round(p.failure_probability * 100)} %`,
                  p.estimates.map((e) => e.model_version ?? words.word('method', e.method)).join(', '),
                ])
              }
            />
          </>
        )}
      </section>
      {chosen === undefined && answer.value !== null && detail}
      <Models listed={models} />
    </div>
  );
}

type Scale = ReturnType<typeof lifeScale>;

function Ranked(props: { item: MaintenanceItem; scale: Scale; models: ModelCard[] | null; open: boolean; href: string; children: ComponentChildren }) {
  const { words, format, plant } = useApp();
  const now = useNow(60_000);
  const lifeText = useLifeText();
  const { t } = words;
  const { item, scale, models, open, href } = props;
  const { prediction: p } = item;
  const names = item.asset.split('/');
  const urgent = urgency(p);
  const heaviest = p.estimates[0];
  const error = heaviest?.held_back_rmse_h ?? models?.find((m) => m.version === heaviest?.model_version)?.held_back_rmse_h ?? null;
  const predictedAt = item.predicted_at === null ? null : Date.parse(item.predicted_at);
  return (
    <li class={`ranked-row is-${urgent}`} data-asset={item.asset}>
      <div class="ranked-head">
        <a class="ranked-name" href={href} aria-expanded={open}>
          <span class="num rank">{item.rank}</span>
          <span>
            <strong>{names.at(-1)}</strong>
            <span class="sub">{names.slice(0, -1).join(' / ')}</span>
          </span>
        </a>
        <Health value={p.health} />
        <span class="urgency">
          {(urgent === 'now' || urgent === 'soon') && <SeverityMark severity={urgent === 'now' ? 'critical' : 'high'} />}
          <strong>{t(`maint.urgency.${urgent}`)}</strong>
          {p.failure_probability !== null && (
            <span class="sub num">{t('maint.within', { share: format.percent(p.failure_probability, 0), time: lifeText(p.horizon_h) })}</span>
          )}
        </span>
        <LifeLine item={item} scale={scale} />
      </div>
      <div class="ranked-why">
        {p.rul === null && <p class="no-prediction">{t('maint.no_prediction')}</p>}
        {p.drivers.length > 0 ? (
          <ul class="drivers">
            {p.drivers.slice(0, DRIVERS_SHOWN).map((d) => (
              <li key={`${d.kind}${d.name}`}>
                <strong>{words.word('driver', d.kind)}</strong> {d.detail || d.name.replaceAll('_', ' ')}
                <span class="sub num"> {format.percent(d.share, 0)}</span>
              </li>
            ))}
          </ul>
        ) : (
          p.rul !== null && <p class="sub">{p.explanation[0] ?? t('maint.no_drivers')}</p>
        )}
        {p.rul === null &&
          p.explanation.map((line) => (
            <p class="sub" key={line}>
              {line}
            </p>
          ))}
        {p.flags
          // Without a prediction these are said by its explanation.
          .filter((f) => p.rul !== null || !['no_prediction', 'no_trend', 'no_health'].includes(f))
          .map((f) => (
            <p class="sub" key={f}>
              {words.word('pflag', f)}
            </p>
          ))}
        <p class="sub num ranked-facts">
          {heaviest && (
            <span>
              {heaviest.model_version ?? words.word('method', heaviest.method)}
              {error !== null && ` ± ${t('maint.held_back', { time: lifeText(error) })}`}
            </span>
          )}
          {predictedAt !== null && <span>{t('maint.predicted', { age: format.age(now - predictedAt) })}</span>}
          <span>{item.last_failure === null ? t('maint.no_failure') : t('maint.last_failure', { what: eventText(item.last_failure) })}</span>
          <span>
            {item.open_work_orders.length === 0
              ? t('maint.no_orders')
              : `${words.n('maint.orders', item.open_work_orders.length)}: ${item.open_work_orders.map(eventText).join('; ')}`}
          </span>
        </p>
      </div>
      {props.children}
    </li>
  );

  function eventText(event: EventBody | string): string {
    if (typeof event === 'string') return Number.isFinite(Date.parse(event)) ? format.moment(Date.parse(event), plant.now()) : event;
    const parts = [event.work_order, event.component?.replaceAll('_', ' '), event.work_order_kind && words.word('order', event.work_order_kind)].filter(Boolean);
    const at = event.at ? format.moment(Date.parse(event.at), plant.now()) : '';
    return [parts.join(' '), at].filter(Boolean).join(', ');
  }
}

function Health({ value }: { value: number | null }) {
  const { words, format } = useApp();
  const word = healthWord(value);
  const share = value === null ? 0 : Math.max(0, Math.min(1, value));
  return (
    <span class={`health is-${word}`}>
      <span class="label">{words.t('maint.health')}</span>
      <svg class={`bar ${value === null ? 'unknown' : ''}`} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width="100" height="6" />
        <rect class="fill" width={share * 100} height="6" />
      </svg>
      <span>
        {(word === 'poor' || word === 'watch') && <SeverityMark severity={word === 'poor' ? 'high' : 'medium'} />}
        {words.t(`maint.health.${word}`)} {value !== null && <span class="num sub">{format.percent(value, 0)}</span>}
      </span>
    </span>
  );
}

/** The median as a point, the interval as a line; without an upper end the line runs off the scale. */
function LifeLine({ item, scale }: { item: MaintenanceItem; scale: Scale }) {
  const { words, format } = useApp();
  const { t } = words;
  const { rul } = item.prediction;
  const text = useLifeText();
  if (rul === null)
    return (
      <span class="life">
        <span class="life-track is-empty" />
        <span class="life-text sub">{t('maint.not_told')}</span>
      </span>
    );
  const [from, at, to] = [scale.place(rul.lower_h), scale.place(rul.hours), rul.upper_h === null ? 1 : scale.place(rul.upper_h)];
  return (
    <span class="life">
      <span class="life-track" aria-hidden="true">
        {scale.marks.map((m) => (
          <i class="mark-line" key={m} style={{ left: `${scale.place(m) * 100}%` }} />
        ))}
        <i class={`life-range ${rul.upper_h === null ? 'is-open' : ''}`} style={{ left: `${from * 100}%`, width: `${Math.max(0.6, (to - from) * 100)}%` }} />
        <i class="life-median" style={{ left: `${at * 100}%` }} />
      </span>
      <span class="life-text num">
        <strong>{text(rul.hours)}</strong>{' '}
        <span class="sub">{rul.upper_h === null ? t('maint.from', { from: text(rul.lower_h) }) : `${text(rul.lower_h)} … ${text(rul.upper_h)}`} · {format.percent(rul.confidence, 0)}</span>
      </span>
    </span>
  );
}

function LifeAxis({ scale }: { scale: Scale }) {
  const { words } = useApp();
  const names: Record<number, string> = { 24: '1\u202fd', 168: `1\u202f${words.t('unit.wk')}`, 720: `1\u202f${words.t('unit.mo')}`, 2160: `3\u202f${words.t('unit.mo')}`, 8760: `1\u202f${words.t('unit.y')}`, 43800: `5\u202f${words.t('unit.y')}` };
  return (
    <div class="life-axis num" aria-hidden="true">
      <span />
      <span>
        {scale.marks.map((m) => (
          <i key={m} style={{ left: `${scale.place(m) * 100}%` }}>
            {names[m] ?? `${m}\u202fh`}
          </i>
        ))}
      </span>
    </div>
  );
}
