/* problems(context) → {element, update({problems})}: each with what is wrong, what to do, and the way there; the gravest first.

A problem that stays keeps its element, and the focus within it.
*/

import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { tag } from '../../parts/status.js';
import { go, href } from '../../routes.js';
import { mendOf, whatOf } from './words.js';

export function problems(context) {
  const heading = h('h2', { id: 'health-problems' });
  const count = h('p', { class: 'visually-hidden', role: 'status' });
  const list = h('ul', { class: 'health-problems', 'aria-labelledby': 'health-problems' });
  const element = h('section', { class: 'health-section', 'aria-labelledby': 'health-problems' });
  let shown = new Map(); // key → {node, as}

  function update({ problems: found }) {
    const words = found.length ? t('health.count', { count: found.length }) : t('health.well');
    if (count.textContent !== words) count.textContent = words;
    const before = shown;
    shown = new Map(found.map((problem) => [keyOf(problem), settle(before.get(keyOf(problem)), problem, context)]));
    for (const [key, { node }] of before) if (!shown.has(key)) node.remove();
    let place = list.firstElementChild;
    for (const { node } of shown.values()) {
      if (node === place) place = place.nextElementSibling;
      else list.insertBefore(node, place);
    }
    const wanted = found.length ? 'problems' : 'well';
    if (element.dataset.shows === wanted) return;
    element.dataset.shows = wanted;
    heading.textContent = found.length ? t('health.problems') : t('health.well');
    replace(element, found.length ? [heading, list] : wellCard(heading), count);
  }

  return { element, update };
}

function keyOf({ code, sessionId, endpointId, agent, companyId }) {
  return [code, sessionId, endpointId, agent, companyId].join(' ');
}

function settle(old, problem, context) {
  const [what, mend] = [whatOf(problem), mendOf(problem, context)];
  const as = JSON.stringify([what, mend]);
  if (old?.as === as) return old;
  const node = card(problem, { what, mend }, context);
  if (old) {
    const held = old.node.contains(document.activeElement);
    old.node.replaceWith(node);
    if (held) node.querySelector('a')?.focus();
  }
  return { node, as };
}

function card(problem, { what, mend }, context) {
  const { severity, companyName } = problem;
  return h('li', { class: `card health-problem ${severity}`, 'data-code': problem.code },
    h('span', { class: 'health-mark' }, icon(severity === 'error' ? 'alert' : 'info')),
    h('div', { class: 'health-words' },
      h('h3', {}, h('span', { class: 'visually-hidden' }, t(`health.severity.${severity}`), ': '), what),
      h('p', {}, mend),
      context.server && companyName && h('p', {}, tag(companyName))),
    wayTo(problem, context));
}

/** Where it is mended; nothing where this key has no such page. */
function wayTo({ sessionId, endpointId, agent, companyId, name }, { server, who }) {
  const [scope, words, place] = sessionId ? ['sessions', t('health.open.session'), ['sessions', sessionId]]
    : endpointId ? ['webhooks', t('health.open.webhook'), ['webhooks', endpointId]]
      : agent ? ['rules', t('health.open.agent'), ['bots', 'agents', agent]] : [];
  if (!scope || !who.can(scope)) return null;
  return h('a', { class: 'button', href: href(...place), onclick: (event) => server && cross(event, companyId, place) },
    words, h('span', { class: 'visually-hidden' }, ` ${name}`), icon('right'));
}

/** Another company's thing is shown among that company's. */
function cross(event, companyId, place) {
  event.preventDefault();
  document.dispatchEvent(new CustomEvent('relay:company', { detail: companyId }));
  go(...place);
}

function wellCard(heading) {
  return h('div', { class: 'card health-well' },
    h('span', { class: 'health-mark' }, icon('check')),
    h('div', {}, heading, h('p', { class: 'soft' }, t('health.well.text'))));
}
