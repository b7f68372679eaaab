/** The learned models: which one predicts, how well it did on machines that were held back, and why others do not. */

import { useState } from 'preact/hooks';
import { analysis } from '../api/analysis.ts';
import type { ModelCard } from '../api/maintenance-types.ts';
import { useApp } from '../state/context.ts';
import { useFetch, useMayWrite } from '../state/fetch.ts';
import { Waiting } from '../ui/behind.tsx';
import { SeverityMark } from '../ui/marks.tsx';

const POOR_COVERAGE = 0.75;

export function Models({ listed }: { listed: ModelCard[] | null }) {
  const { words, format, plant } = useApp();
  const { t } = words;
  const may = useMayWrite();
  const own = useFetch('models', (s) => analysis.models(s), 60_000);
  const models = own.value ?? listed;
  const [said, setSaid] = useState('');
  const train = async () => {
    try {
      const answer = await analysis.train();
      setSaid([t(answer?.started === false ? 'models.follows' : 'models.started'), ...(answer?.missing ?? [])].join(' '));
      own.again();
    } catch (error) {
      setSaid(t('models.refused', { reason: (error as Error).message }));
    }
  };
  return (
    <section class="panel models" aria-labelledby="models-title">
      <header class="panel-head">
        <h2 id="models-title">{t('models.title')}</h2>
        {may && (
          <button type="button" class="small" onClick={() => void train()}>
            {t('models.train')}
          </button>
        )}
      </header>
      <p class={said ? 'note' : 'sr'} role="status">
        {said}
      </p>
      {models === null ? (
        <Waiting error={own.error} />
      ) : models.length === 0 ? (
        <p class="sub">{t('models.none')}</p>
      ) : (
        <div class="scroll" tabIndex={0} role="group" aria-labelledby="models-title">
          <table class="plain">
            <thead>
              <tr>
                <th>{t('models.version')}</th>
                <th>{t('models.state')}</th>
                <th>{t('models.trained')}</th>
                <th class="right">{t('models.machines')}</th>
                <th class="right">{t('models.failures')}</th>
                <th class="right">{t('models.rmse')}</th>
                <th class="right">{t('models.coverage')}</th>
                <th>{t('models.reason')}</th>
              </tr>
            </thead>
            <tbody>
              {models.map((m) => (
                <tr key={m.version} class={m.state === 'in_use' ? 'in-use' : ''}>
                  <th scope="row">
                    {m.version} <span class="sub">{words.word('mkind', m.kind)}</span>
                  </th>
                  <td>
                    {m.state === 'failed' && <SeverityMark severity="high" />} {words.word('mstate', m.state)}
                  </td>
                  <td class="num">{m.trained_at === null ? t('analysis.no_data') : format.moment(Date.parse(m.trained_at), plant.now())}</td>
                  <td class="right num">{format.count(m.machines)}</td>
                  <td class="right num">{format.count(m.failures)}</td>
                  <td class="right num">
                    {m.held_back_rmse_h === null ? t('models.not_held_back') : `${format.value(m.held_back_rmse_h, 0)}\u202fh`}
                    {m.median_life_rmse_h != null && <span class="sub"> {t('models.median_life', { time: `${format.value(m.median_life_rmse_h, 0)}\u202fh` })}</span>}
                  </td>
                  <td class="right num">
                    {m.held_back_coverage !== null && m.held_back_coverage < POOR_COVERAGE && <SeverityMark severity="medium" />} {format.percent(m.held_back_coverage, 0)}
                  </td>
                  <td class="wide">
                    {m.reason}
                    {m.features && m.features.length > 0 && (
                      <details>
                        <summary>{words.n('models.features', m.features.length)}</summary>
                        {m.features.join(', ')}
                      </details>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
