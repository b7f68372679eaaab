/** What the page speaks of: a site, an area, a line or a machine. */

import type { RollUp } from '../api/oee-types.ts';
import { scopeTree, visibleNodes } from '../model/losses.ts';
import { finite } from '../model/rollup.ts';
import { useApp, usePlant } from '../state/context.ts';
import { Bar } from './kpi.tsx';

/** As a tree with the OEE beside each; the way down to the scope is open. */
export function ScopeTree({ scope, rollUp, href }: { scope: string; rollUp: RollUp | null; href: (path: string) => string }) {
  const { words, format } = useApp();
  const plant = usePlant();
  const nodes = visibleNodes(
    scopeTree(
      plant.assets.map((a) => a.asset),
      rollUp,
    ),
    scope,
  );
  return (
    <ul class="scope-tree">
      {nodes.map(({ node, depth }) => {
        const oee = finite(node.oee?.oee);
        return (
          <li key={node.path} class={`depth-${depth}`}>
            <a href={href(node.path)} aria-current={node.path === scope ? 'true' : undefined}>
              <span class="name">
                {node.name}
                {node.children.length > 0 && <span class="sub num"> {node.machines}</span>}
              </span>
              {node.oee === null ? (
                <span class="sub" />
              ) : (
                <>
                  <Bar ratio={oee} />
                  <span class="num">{oee === null ? words.t('analysis.no_data') : format.percent(oee, 0)}</span>
                </>
              )}
            </a>
          </li>
        );
      })}
    </ul>
  );
}

/** As a list to choose from. `all`: what the whole plant is called, if it can be chosen. */
export function ScopeSelect({ scope, go, all }: { scope: string; go: (path: string) => void; all?: string }) {
  const { words } = useApp();
  const plant = usePlant();
  const options: { path: string; text: string }[] = [];
  const visit = (nodes: ReturnType<typeof scopeTree>, depth: number) => {
    for (const node of nodes) {
      options.push({ path: node.path, text: `${'\u2003'.repeat(depth)}${node.name}` });
      visit(node.children, depth + 1);
    }
  };
  visit(
    scopeTree(
      plant.assets.map((a) => a.asset),
      null,
    ),
    0,
  );
  return (
    <label class="scope-select">
      <span class="sr">{words.t('analysis.scope')}</span>
      <select value={scope} onChange={(e) => go(e.currentTarget.value)}>
        {all !== undefined && <option value="">{all}</option>}
        {options.map((o) => (
          <option key={o.path} value={o.path}>
            {o.text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** The scope that is asked for, or the first site if none is. */
export function useScope(asked: string): string {
  const plant = usePlant();
  return asked || (plant.assets[0]?.site ?? '');
}
