/* What the server says of a text: one line for how it stands, and each mistake as a button that goes to its line. */

import { h, replace } from '../../dom.js';
import { sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { badge } from '../../parts/status.js';
import { marked } from './marked.js';

/** → {element, id, show(state)}; goTo(line, column) moves the cursor, lineOf(test) finds a test in the text. */
export function problems({ goTo, lineOf }) {
  const id = 'bot-problems-summary';
  const summary = h('p', { class: 'bot-summary', id, role: 'status' });
  const list = h('ol', { class: 'bot-problems' });
  const show = (state) => {
    replace(summary, ...summaryOf(state));
    // While it looks, what was wrong stays on show: the page does not jump with each letter.
    if (state.kind === 'checking') return;
    replace(list, (state.errors ?? []).map((error) => h('li', {}, row(error, state.kind, { goTo, lineOf }))));
  };
  return { element: h('div', { class: 'stack tight' }, summary, list), id, show };
}

function summaryOf({ kind, rules, flows, tests, errors, error }) {
  if (kind === 'checking') return [badge('busy', t('bots.check.checking'))];
  if (kind === 'mistakes') return [badge('bad', t('bots.check.mistakes', { count: errors.length }))];
  if (kind === 'tests') return [badge('bad', t('bots.check.tests', { count: errors.length })), ' ', t('bots.check.tests.text')];
  if (kind === 'unknown') return [badge('bad', t('common.failed')), ' ', sentence(error)];
  const counts = [t('bots.check.rules', { count: rules }), flows > 0 && t('bots.check.flows', { count: flows }), tests > 0 && t('bots.check.passed', { count: tests })];
  return [badge('good', t('bots.check.good')), ' ', h('span', { class: 'soft' }, counts.filter(Boolean).join(' · '))];
}

function row({ line, column, path, detail, test }, kind, { goTo, lineOf }) {
  const at = kind === 'tests' ? lineOf(test) : line;
  const where = kind === 'tests' ? t('bots.check.test', { name: test }) : t('bots.check.line', { line: String(line) });
  const words = [icon('alert'), h('span', {}, h('strong', {}, where), ' ', path && [h('code', {}, path), ' '], h('span', {}, marked(detail)))];
  return at
    ? h('button', { type: 'button', class: 'quiet bot-problem', onclick: () => goTo(at, column ?? 1) }, words)
    : h('div', { class: 'bot-problem' }, words);
}
