/** The numbers behind a picture, as a table that a screen reader can read and a person can copy. */

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { useApp } from '../state/context.ts';

export interface Column {
  name: string;
  right?: boolean;
}

/** Drawn only when it is opened: it may be long. */
export function Behind({ title, columns, rows, limit = 400 }: { title: string; columns: Column[]; rows: () => ComponentChildren[][]; limit?: number }) {
  const { words } = useApp();
  const [open, setOpen] = useState(false);
  const all = open ? rows() : [];
  return (
    <details class="behind" open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{words.t('analysis.numbers')}</summary>
      {open && (
        <div class="scroll" tabIndex={0} role="group" aria-label={title}>
          <table class="plain">
            <caption class="sr">{title}</caption>
            <thead>
              <tr>
                {columns.map((c) => (
                  <th key={c.name} scope="col" class={c.right ? 'right' : ''}>
                    {c.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {all.slice(0, limit).map((row, i) => (
                <tr key={i}>
                  {row.map((cell, j) => (
                    <td key={j} class={columns[j]?.right ? 'right num' : ''}>
                      {cell}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {all.length > limit && <p class="sub">{words.t('analysis.cut', { n: limit, all: all.length })}</p>}
        </div>
      )}
    </details>
  );
}

/** What to know before believing a figure, in words. */
export function Flags({ set, flags }: { set: string; flags: readonly string[] }) {
  const { words } = useApp();
  return (
    <>
      {flags.map((flag) => (
        <p class="note" key={flag}>
          {words.word(set, flag)}
        </p>
      ))}
    </>
  );
}

/** A panel's content while its answer is on its way, or failed. */
export function Waiting({ error }: { error: string | null }) {
  const { words } = useApp();
  return error === null ? <p class="sub">{words.t('app.loading')}</p> : <p class="note bad">{words.t('app.failed', { reason: error })}</p>;
}
