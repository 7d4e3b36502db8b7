/* Keys: what opens the API and this console, for whom, and until when.

    #/keys             the company's; for an operator those of the chosen one
    #/keys/operator    an operator's own, which open the whole server
*/

import { api } from '../api.js';
import { h, replace } from '../dom.js';
import { every } from '../events.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { pageHeader } from '../parts/header.js';
import { empty, failed, loading } from '../parts/states.js';
import { href } from '../routes.js';
import { createKey } from './keys/create.js';
import { keyTable } from './keys/list.js';
import { isOver, stateOf } from './keys/words.js';

const LOOK_SECONDS = 20;

export default {
  async show(container, { params, who, signal }) {
    const view = new KeysView(container, { who, signal, ofOperator: who.operator && params.id === 'operator' });
    await view.load();
    every(LOOK_SECONDS, () => view.load(), signal);
  },
};

class KeysView {
  constructor(container, context) {
    Object.assign(this, { context, keys: null, showEnded: false });
    context.changed = () => this.load();
    this.list = keyTable(context);
    this.ended = h('div', {});
    this.content = h('div', { class: 'stack' }, loading());
    const { who, ofOperator } = context;
    replace(container,
      pageHeader({
        title: t('keys.title'), text: ofOperator ? t('keys.operator.text') : t('keys.text'),
        actions: this.mayCreate() ? [this.createButton()] : [],
      }),
      who.operator && kinds(ofOperator),
      this.content);
  }

  mayCreate() {
    const { who, ofOperator } = this.context;
    return !ofOperator && (!who.operator || Boolean(api.company()));
  }

  createButton() {
    return h('button', { type: 'button', class: 'primary', onclick: () => this.create() }, icon('plus'), t('keys.create'));
  }

  async load() {
    const { who, signal, ofOperator } = this.context;
    if (who.operator && !ofOperator && !api.company()) {
      replace(this.content, noCompany());
      return;
    }
    try {
      const found = [];
      // Of an operator's own none names a company, not even the chosen one.
      const query = ofOperator ? { operator: true, companyId: null } : {};
      for await (const page of api.all('admin/keys', 'keys', query, { signal })) found.push(...page);
      this.keys = found;
      this.draw();
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      if (!this.keys) replace(this.content, failed(error, () => this.load()));
    }
  }

  draw() {
    const rows = this.keys.map((key) => ({ ...key, state: stateOf(key) }));
    const over = rows.filter(isOver).length;
    this.drawSwitch(over);
    const shown = this.showEnded ? rows : rows.filter((key) => !isOver(key));
    this.list.update(shown);
    if (shown.length === 0 && over === 0) replace(this.content, this.nothing());
    else if (!this.list.isConnected) replace(this.content, this.ended, this.list);
  }

  /** Keeps its element, and with it the focus. */
  drawSwitch(over) {
    this.ended.hidden = over === 0;
    const words = t('keys.showEnded', { count: over });
    if (this.label?.textContent === words) return;
    this.label ??= h('span', {});
    this.label.textContent = words;
    if (this.ended.firstChild) return;
    this.ended.append(h('label', { class: 'key-switch' },
      h('input', { type: 'checkbox', onchange: (event) => { this.showEnded = event.target.checked; this.draw(); } }), this.label));
  }

  nothing() {
    const { ofOperator } = this.context;
    return h('div', { class: 'card' }, empty({
      icon: 'key', title: ofOperator ? t('keys.operator.empty') : t('keys.empty.title'), text: ofOperator ? t('keys.operator.empty.text') : t('keys.empty.text'),
      action: this.mayCreate() && this.createButton(),
    }));
  }

  async create() {
    if (await createKey(this.context)) this.load();
  }
}

function kinds(ofOperator) {
  const link = (target, words, isHere) => h('a', { href: target, 'aria-current': isHere ? 'page' : null }, words);
  return h('nav', { class: 'key-kinds', 'aria-label': t('keys.kinds') },
    link(href('keys'), t('keys.kinds.company'), !ofOperator),
    link(href('keys', 'operator'), t('keys.kinds.operator'), ofOperator));
}

function noCompany() {
  return h('div', { class: 'card' }, empty({
    icon: 'building', title: t('keys.noCompany.title'), text: t('keys.noCompany.text'),
    action: h('a', { class: 'button primary', href: href('companies') }, t('keys.noCompany.button')),
  }));
}
