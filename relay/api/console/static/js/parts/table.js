/* A table that is cheap to keep up to date, and becomes cards on a phone (its roles are said: without `display: table` they are lost).

    const list = table({caption, columns, key: (row) => row.id, rows, whole})  → element
        columns   [{title, cell: (row) => node | text, class: 'lead' | 'numeric' | 'actions'}]
                  `lead` stands on top of a card, without its title
    list.update(rows)    shows these rows, in this order; rows that are the same (as JSON) keep their elements and the focus
    Of a long list the first fifty are shown, and a button for more: so that one change stays a matter of milliseconds.
    `whole`: all of them; where pages are asked for one by one, they have a button of their own.
*/

import { h } from '../dom.js';
import { t } from '../i18n.js';

const STEP = 50;

export function table({ caption, columns, key, rows = [], whole = false }) {
  const body = h('tbody', { role: 'rowgroup' });
  const more = h('div', { class: 'table-more', hidden: true },
    h('button', { type: 'button', onclick: () => { most += STEP; element.update(all); } }, t('common.more')));
  const element = h('div', { class: 'table' }, h('div', { class: 'frame' },
    h('table', { role: 'table' },
      h('caption', { class: 'visually-hidden' }, caption),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map(({ title, class: kind }) => h('th', { role: 'columnheader', scope: 'col', class: kind === 'numeric' && kind },
        kind === 'actions' ? h('span', { class: 'visually-hidden' }, title) : title)))),
      body)), more);
  let all = [];
  let most = whole ? Infinity : STEP;
  let shown = new Map(); // key → {tr, as}

  element.update = (next) => {
    all = next;
    more.hidden = all.length <= most;
    const before = shown;
    shown = new Map(all.slice(0, most).map((row) => [key(row), settle(before.get(key(row)), row)]));
    for (const [name, { tr }] of before) if (!shown.has(name)) tr.remove();
    let place = body.firstElementChild;
    for (const { tr } of shown.values()) {
      if (tr === place) place = place.nextElementSibling;
      else body.insertBefore(tr, place);
    }
  };

  function settle(old, row) {
    const as = JSON.stringify(row);
    if (old?.as === as) return old;
    const tr = h('tr', { role: 'row' }, columns.map((column) => h('td', { role: 'cell', class: column.class, 'data-label': column.title },
      h('div', {}, column.cell(row)))));
    if (old) keepFocus(old.tr, tr);
    return { tr, as };
  }

  element.update(rows);
  return element;
}

/** The new row takes the old one's place, and the focus when it was in there. */
function keepFocus(old, fresh) {
  const places = (node) => [...node.querySelectorAll('button, a, input, select')];
  const at = places(old).indexOf(document.activeElement);
  old.replaceWith(fresh);
  if (at >= 0) (places(fresh)[at] ?? places(fresh).at(-1))?.focus();
}
