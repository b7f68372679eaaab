/** What changed against the period before, and which shifts were told anew. */

import type { Comparison, Restated, RestatementWhy } from '../api/oee-types.ts';
import type { Period } from '../model/range.ts';
import { useApp } from '../state/context.ts';
import { Behind } from '../ui/behind.tsx';
import { PeriodText } from '../ui/period.tsx';

const SHOWN = 6;
const FIGURES_SHOWN = 8;

export function ChangesPanel({ comparison, before }: { comparison: Comparison | null; before: Period | null }) {
  const { words, format } = useApp();
  const { t } = words;
  const signed = (v: number | null) => (v === null ? t('analysis.no_data') : format.signed(v));
  const losses = (comparison?.losses ?? []).filter((l) => Math.abs(l.points) >= 0.05);
  const most = Math.max(0.1, ...losses.map((l) => Math.abs(l.points)));
  return (
    <section class="panel changes" aria-labelledby="changes-title">
      <header class="panel-head">
        <h2 id="changes-title">{t('changes.title')}</h2>
        <span class="sub num">{before && <PeriodText period={before} />}</span>
      </header>
      {comparison === null ? (
        <p class="sub">{t('changes.none')}</p>
      ) : (
        <>
          <p class="changes-sum num">
            {comparison.before.oee === null ? t('analysis.no_data') : format.percent(comparison.before.oee)} → {comparison.after.oee === null ? t('analysis.no_data') : format.percent(comparison.after.oee)}
            {comparison.oee_points !== null && (
              <strong>
                {' '}
                {signed(comparison.oee_points)} {t('oee.points')}
              </strong>
            )}
          </p>
          {comparison.factors.length > 0 && (
            <p class="sub num">
              {comparison.factors.map((f, i) => (
                <span key={f.factor}>
                  {i > 0 && ' · '}
                  {words.word('kpi', f.factor)} {signed(f.oee_points)}
                </span>
              ))}
            </p>
          )}
          {losses.length === 0 ? (
            <p class="sub">{t(comparison.oee_points === null ? 'changes.not_comparable' : 'changes.same')}</p>
          ) : (
            <ul class="diverging">
              {losses.slice(0, SHOWN).map((l) => (
                <li key={`${l.category}${l.key}`}>
                  <span class="name">
                    {l.name === l.key ? words.word('node', l.key) : l.name}
                    <span class="sub num">
                      {t('changes.stops', { before: format.duration(l.before_s), after: format.duration(l.after_s) })}
                    </span>
                  </span>
                  <svg viewBox="-50 0 100 10" preserveAspectRatio="none" aria-hidden="true" class={l.points < 0 ? 'is-worse' : ''}>
                    <line x1="0" x2="0" y1="0" y2="10" vector-effect="non-scaling-stroke" />
                    <rect x={Math.min(0, (l.points / most) * 49)} width={Math.abs((l.points / most) * 49)} y="1" height="8" />
                  </svg>
                  <span class="num right">{signed(l.points)}</span>
                </li>
              ))}
            </ul>
          )}
          {comparison.losses.length > 0 && (
            <Behind
              title={t('changes.title')}
              columns={[{ name: t('oee.loss') }, { name: t('changes.before'), right: true }, { name: t('changes.after'), right: true }, { name: t('oee.points'), right: true }, { name: t('changes.stops_before'), right: true }, { name: t('changes.stops_after'), right: true }]}
              rows={() => comparison.losses.map((l) => [l.name === l.key ? words.word('node', l.key) : l.name, format.duration(l.before_s), format.duration(l.after_s), signed(l.points), format.count(l.stops_before), format.count(l.stops_after)])}
            />
          )}
        </>
      )}
    </section>
  );
}

/** Why, in words. */
function whyText(why: RestatementWhy, t: ReturnType<typeof useApp>['words'], moment: (time: string) => string): string {
  const text = t.known('why', why.kind);
  if (text === null) return why.kind.replaceAll('_', ' ');
  return text
    .replace('{from}', why.period ? moment(why.period.from) : '')
    .replace('{to}', why.period ? moment(why.period.to) : '')
    .replace('{by}', why.by ?? '')
    .replace('{reason}', why.reason ?? t.t('stop.took_back'))
    .replace('{comment}', why.comment ? ` “${why.comment}”` : '');
}

export function RestatedPanel({ items }: { items: Restated[] }) {
  const { words, format, plant } = useApp();
  const { t } = words;
  if (items.length === 0) return null;
  const moment = (time: string) => format.moment(Date.parse(time), plant.now());
  return (
    <section class="panel restated" aria-labelledby="restated-title">
      <h2 id="restated-title">{words.n('restated.title', items.length)}</h2>
      <ul>
        {items.map((item) => {
          const { record } = item;
          const from = Date.parse(record.period.from);
          return (
            <li key={`${item.asset}${record.period.from}`}>
              <details>
                <summary class="num">
                  <strong>{item.asset.split('/').at(-1)}</strong> {item.shift} {format.day(from)}: {t('restated.revision', { n: record.revision, oee: format.percent(record.oee.oee) })}
                  <span class="sub"> {t('restated.last', { time: moment(record.stated_at) })}</span>
                </summary>
                <ol class="revisions">
                  {record.history.toReversed().map((h) => (
                    <li key={h.revision}>
                      <p class="num">
                        <strong>{t('restated.nth', { n: h.revision })}</strong> {moment(h.at)}
                        {h.oee_points !== null && ` · ${format.signed(h.oee_points, 2)} ${t('oee.points')}`}
                      </p>
                      {h.why.map((w, i) => (
                        <p key={i}>{whyText(w, words, moment)}</p>
                      ))}
                      <p class="sub num">
                        {h.changes.slice(0, FIGURES_SHOWN).map((c, i) => (
                          <span key={c.figure}>
                            {i > 0 && ' · '}
                            {words.word('figure', c.figure)} {figureText(c.figure, c.before)} → {figureText(c.figure, c.after)}
                          </span>
                        ))}
                      </p>
                    </li>
                  ))}
                  {record.forgotten > 0 && <li class="sub">{words.n('restated.forgotten', record.forgotten)}</li>}
                  <li class="sub num">{t('restated.first', { time: moment(record.first_stated_at) })}</li>
                </ol>
              </details>
            </li>
          );
        })}
      </ul>
    </section>
  );

  function figureText(figure: string, value: number | null): string {
    if (value === null) return t('analysis.no_data');
    if (figure.endsWith('_s') || figure.startsWith('losses.')) return format.duration(value);
    return figure.includes('.') ? format.count(value) : format.percent(value);
  }
}
