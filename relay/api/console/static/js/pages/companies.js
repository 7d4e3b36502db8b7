/* Companies: whom this server serves; for operators. */

import { api } from '../api.js';
import { h, replace } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { pageHeader } from '../parts/header.js';
import { empty, failed, loading } from '../parts/states.js';
import { changeCompany, createCompany } from './companies/edit.js';
import { companyTable } from './companies/list.js';
import { deleteCompany } from './companies/remove.js';

export default {
  async show(container, { signal }) {
    await new CompaniesView(container, signal).load();
  },
};

class CompaniesView {
  constructor(container, signal) {
    Object.assign(this, { context: { signal }, companies: null, wanted: '' });
    this.list = companyTable({
      change: (company) => this.changing(changeCompany(company, this.context)),
      remove: (company) => this.changing(deleteCompany(company, this.context)),
    });
    this.search = this.makeSearch();
    this.count = h('p', { class: 'soft small', role: 'status' });
    this.content = h('div', {}, loading());
    replace(container,
      pageHeader({ title: t('companies.title'), text: t('companies.text'), actions: [this.createButton()] }),
      this.search, h('div', { class: 'stack tight' }, this.count, this.content));
  }

  createButton() {
    return h('button', { type: 'button', class: 'primary', onclick: () => this.changing(createCompany(this.context)) }, icon('plus'), t('companies.create'));
  }

  makeSearch() {
    return h('div', { class: 'toolbar', hidden: true }, h('input', {
      type: 'search', placeholder: t('companies.search'), 'aria-label': t('companies.search'),
      oninput: (event) => { this.wanted = plain(event.target.value.trim()); this.draw(); },
    }));
  }

  async load() {
    const { signal } = this.context;
    try {
      const found = [];
      for await (const page of api.all('admin/tenants', 'tenants', {}, { signal })) found.push(...page);
      this.companies = found;
      this.draw();
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      if (!this.companies) replace(this.content, failed(error, () => this.load()));
    }
  }

  draw() {
    const { companies, wanted } = this;
    const shown = companies.filter(({ name, companyId }) => plain(name).includes(wanted) || companyId === wanted)
      .map((company) => ({ ...company, isChosen: company.companyId === api.company() }));
    this.search.hidden = companies.length < 2;
    this.count.textContent = companies.length < 2 ? '' : t('companies.shown', { count: shown.length });
    this.list.update(shown);
    if (companies.length === 0) replace(this.content, this.nothing());
    else if (!this.list.isConnected) replace(this.content, this.list);
  }

  nothing() {
    return h('div', { class: 'card' },
      empty({ icon: 'building', title: t('companies.empty.title'), text: t('companies.empty.text'), action: this.createButton() }));
  }

  /** Then the list is looked at again, here and in the top bar. */
  async changing(work) {
    if (!await work) return;
    await this.load();
    document.dispatchEvent(new Event('relay:companies'));
  }
}

/** For searching: without accents, in small letters. */
function plain(text) {
  return text.normalize('NFD').replace(/\p{Diacritic}/gu, '').toLowerCase();
}
