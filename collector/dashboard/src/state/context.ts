/** What every part of the page stands in: language, formats, the plant, the link. */

import { createContext } from 'preact';
import { useContext, useEffect, useReducer, useState } from 'preact/hooks';
import type { Session } from '../api/types.ts';
import type { Format } from '../format.ts';
import type { Translator } from '../i18n/translate.ts';
import type { LiveLink } from '../live/socket.ts';
import type { Plant } from './plant.ts';

export interface App {
  session: Session;
  plant: Plant;
  link: LiveLink;
  words: Translator;
  format: Format;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = useContext(AppContext);
  if (app === null) throw new Error('outside of the app');
  return app;
}

/** Draws again when the plant changes. */
export function usePlant(): Plant {
  const { plant } = useApp();
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  useEffect(() => plant.onChange(() => redraw(0)), [plant]);
  return plant;
}

/** The collector's clock, moving on by itself. */
export function useNow(everyMs = 1000): number {
  const { plant } = useApp();
  const [now, setNow] = useState(plant.now());
  useEffect(() => {
    setNow(plant.now());
    const timer = setInterval(() => setNow(plant.now()), everyMs);
    return () => clearInterval(timer);
  }, [plant, everyMs]);
  return now;
}

/** True while the media query matches. */
export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const follow = () => setMatches(list.matches);
    follow();
    list.addEventListener('change', follow);
    return () => list.removeEventListener('change', follow);
  }, [query]);
  return matches;
}
