/** Losses as rows of a waterfall, machines as a tree with their OEE, stops of a timeline. Pure. */

import type { Interval, LossNode, RollUp, StopReason } from '../api/oee-types.ts';
import type { Oee } from '../api/types.ts';

export const BRANCHES = ['availability_losses', 'performance_losses', 'quality_losses'] as const;

export type Role = 'whole' | 'loss' | 'rest' | 'undivided';

/** A bar from `from` to `to`, both shares of the planned busy time; a loss hangs from where the bar above it ended. */
export interface WaterRow {
  key: string;
  branch: string;
  role: Role;
  from: number;
  to: number;
  micros: number;
  seconds: number;
  /** Hundredths of OEE. */
  points: number | null;
  parts: number | null;
  stops: number | null;
  children: LossNode[];
}

/** From the planned busy time down to the fully productive time; empty if nothing was planned. */
export function waterfall(tree: LossNode): WaterRow[] {
  const whole = tree.micros;
  if (!(whole > 0)) return [];
  const row = (node: LossNode, branch: string, role: Role, from: number, to: number): WaterRow => ({
    key: node.key,
    branch,
    role,
    from,
    to,
    micros: node.micros,
    seconds: node.seconds,
    points: node.share === null ? null : node.share * 100,
    parts: node.parts,
    stops: node.stops,
    children: node.children,
  });
  const rows = [row(tree, '', 'whole', 0, 1)];
  let left = whole;
  for (const branch of tree.children) {
    if ((BRANCHES as readonly string[]).includes(branch.key)) {
      for (const loss of branch.children) {
        // Nothing lost needs no bar; a gain (performance above one) does.
        if (loss.micros === 0) continue;
        const end = left - loss.micros;
        rows.push(row(loss, branch.key, 'loss', Math.min(left, end) / whole, Math.max(left, end) / whole));
        left = end;
      }
    } else {
      rows.push(row(branch, '', branch.key === 'undivided' ? 'undivided' : 'rest', 0, branch.micros / whole));
    }
  }
  return rows;
}

/** What the planned time differs from the sum of its parts by, in microseconds: 0 if the collector reckons right. */
export function remainder(rows: WaterRow[]): number {
  return rows.reduce((sum, r) => (r.role === 'whole' ? sum + r.micros : sum - r.micros), 0);
}

export interface ScopeNode {
  path: string;
  name: string;
  machines: number;
  oee: Oee | null;
  children: ScopeNode[];
}

/** Sites, areas, lines and machines that there are, with the OEE of those that the answer speaks of. */
export function scopeTree(assets: Iterable<string>, answer: RollUp | null): ScopeNode[] {
  const figures = new Map<string, Oee>();
  const keep = (node: RollUp) => {
    figures.set(node.path, node.oee);
    for (const child of node.children) keep(child);
  };
  if (answer) keep(answer);
  const roots: ScopeNode[] = [];
  for (const asset of assets) {
    let level = roots;
    let path = '';
    for (const name of asset.split('/')) {
      path = path ? `${path}/${name}` : name;
      let node = level.find((n) => n.path === path);
      if (!node) level.push((node = { path, name, machines: 0, oee: figures.get(path) ?? null, children: [] }));
      node.machines++;
      level = node.children;
    }
  }
  return roots;
}

/** The nodes that are shown: those on the way to `scope`, their neighbours, and what lies directly below it. */
export function visibleNodes(roots: ScopeNode[], scope: string): { node: ScopeNode; depth: number }[] {
  const shown: { node: ScopeNode; depth: number }[] = [];
  const visit = (nodes: ScopeNode[], depth: number) => {
    for (const node of nodes) {
      shown.push({ node, depth });
      if (scope === node.path || scope.startsWith(`${node.path}/`)) visit(node.children, depth + 1);
    }
  };
  visit(roots, 0);
  return shown;
}

export function isMachine(scope: string): boolean {
  return scope.split('/').length === 4;
}

/** A stop that a person can give a reason for. */
export function isStop(interval: Pick<Interval, 'cause'>): boolean {
  return ['unplanned_stop', 'setup', 'minor_stop', 'idle', 'offline', 'reduced_speed', 'planned_stop'].includes(interval.cause);
}

/** Whether the stop waits for a person to say why. */
export function unexplained(interval: Interval): boolean {
  return interval.cause !== 'planned_stop' && isStop(interval) && interval.reason === null;
}

/** Whether an interval is part of what a row of the waterfall or of the Pareto stands for. */
export function belongs(interval: Interval, key: string): boolean {
  return key !== '' && (interval.loss === key || interval.cause === key || interval.reason === key);
}

export interface ReasonOption {
  code: string;
  name: string;
  depth: number;
  retired: boolean;
  /** Its own category, or that of the nearest above. */
  category: string | null;
}

/** The catalogue as it is offered: depth first, in its own order. */
export function reasonOptions(reasons: StopReason[]): ReasonOption[] {
  const below = new Map<string, StopReason[]>();
  const codes = new Set(reasons.map((r) => r.code));
  for (const reason of reasons) {
    const parent = reason.parent !== null && codes.has(reason.parent) ? reason.parent : '';
    below.set(parent, [...(below.get(parent) ?? []), reason]);
  }
  const options: ReasonOption[] = [];
  const visit = (parent: string, depth: number, category: string | null) => {
    // The catalogue has no circles; a broken one must not hang the page.
    if (depth > 12) return;
    for (const reason of below.get(parent) ?? []) {
      const own = reason.category ?? category;
      options.push({ code: reason.code, name: reason.name, depth, retired: reason.retired, category: own });
      if (reason.code !== '') visit(reason.code, depth + 1, own);
    }
  };
  visit('', 0, null);
  return options;
}

/** The part of a stop that a reason is entered for; a text of what is wrong with it, else `null`. */
export function splitFault(stop: { from: number; to: number }, part: { from: number | null; to: number | null }): 'no_time' | 'backwards' | 'outside' | null {
  if (part.from === null || part.to === null) return 'no_time';
  if (part.to <= part.from) return 'backwards';
  // Inputs know whole seconds only.
  return part.from < stop.from - 1000 || part.to > stop.to + 1000 ? 'outside' : null;
}
