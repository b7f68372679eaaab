/** One answer of the collector: fetched when its key changes, and again now and then. */

import { useCallback, useEffect, useReducer, useRef, useState } from 'preact/hooks';
import { useApp } from './context.ts';

export interface Fetched<T> {
  /** The newest answer, also while the next one is on its way; see `old`. */
  value: T | null;
  /** The answer belongs to another question than is asked now. */
  old: boolean;
  error: string | null;
  again: () => void;
}

/** `key`: what is asked; `null`: nothing yet. `everyMs`: how often it is asked again; without it only after a gap of the link. */
export function useFetch<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>, everyMs?: number): Fetched<T> {
  const { plant } = useApp();
  const [state, setState] = useState<{ key: string | null; value: T | null; error: string | null }>({ key: null, value: null, error: null });
  const [count, more] = useReducer((n: number) => n + 1, 0);
  const latest = useRef(load);
  latest.current = load;
  const again = useCallback(() => more(0), []);
  const busy = useRef(false);
  useEffect(() => {
    if (everyMs === undefined || key === null) return;
    // A question that is still being answered is not asked over again, nor one whose page nobody sees.
    const timer = setInterval(() => {
      if (!busy.current && !document.hidden) more(0);
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, key]);
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    busy.current = true;
    latest.current(abort.signal).then(
      (value) => {
        if (abort.signal.aborted) return;
        busy.current = false;
        setState({ key, value, error: null });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        busy.current = false;
        const text = error instanceof Error ? error.message : String(error);
        // What is known of the same question stays; an answer to another one would be taken for this one's.
        setState((s) => (s.key === key ? { ...s, error: text } : { key, value: null, error: text }));
      },
    );
    return () => abort.abort();
  }, [key, count, plant.generation]);
  return { value: key === null ? null : state.value, old: state.key !== key, error: state.key === key ? state.error : null, again };
}

/** Whether this session may enter something. */
export function useMayWrite(role: 'operator' | 'admin' = 'operator'): boolean {
  const { session } = useApp();
  return session.role === 'admin' || session.role === role;
}

/** Replaces the address without filling the history: for what is tried out. */
export function replaceAddress(href: string): void {
  history.replaceState(null, '', href);
  window.dispatchEvent(new Event('hashchange'));
}
