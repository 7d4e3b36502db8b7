/* The versions of a rule set: what each has changed, and an old one put in force again; answers true where one was. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { dateTime, sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { openDialog } from '../../parts/dialog.js';
import { busy } from '../../parts/form.js';
import { failed, loading } from '../../parts/states.js';
import { badge } from '../../parts/status.js';
import { toast } from '../../parts/toast.js';

export async function showVersions(set, { signal }) {
  const at = `rules/${encodeURIComponent(set.name)}`;
  const pane = h('div', { class: 'bot-diff-pane', 'aria-live': 'polite' }, loading());
  const list = h('ul', { class: 'bot-versions' });
  const view = { set, at, pane, list, signal };
  const shown = openDialog({
    title: t('bots.versions.title', { name: set.name }), wide: true, signal,
    body: (close) => {
      view.close = close;
      return h('div', { class: 'bot-history' }, list, pane);
    },
  });
  load(view);
  return shown;
}

async function load(view) {
  try {
    view.versions = [];
    for await (const page of api.all(`${view.at}/versions`, 'versions', {}, { signal: view.signal })) view.versions.push(...page);
    replace(view.list, view.versions.map((one) => h('li', {}, entry(one, view))));
    await choose(view.versions[0].version, view);
  } catch (error) {
    if (error.name !== 'AbortError') replace(view.pane, failed(error, () => load(view)));
  }
}

function entry({ version, note, createdAt }, view) {
  return h('button', { type: 'button', class: 'quiet bot-version', 'data-version': version, onclick: () => choose(version, view) },
    h('span', { class: 'row' }, h('strong', {}, t('bots.versionNumber', { version })),
      version === view.set.version && badge('good', t('bots.inForce.short'))),
    note && h('span', { class: 'small' }, note),
    h('time', { class: 'small', datetime: createdAt }, dateTime(createdAt)));
}

async function choose(version, view) {
  for (const button of view.list.querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.version === String(version)));
  const before = view.versions.find((one) => one.version < version)?.version;
  await compare(before ?? version, version, view);
}

async function compare(from, to, view) {
  try {
    const { diff } = await api.get(`${view.at}/diff`, { from, to }, { signal: view.signal });
    replace(view.pane, paneHead(from, to, view), from === to ? h('p', { class: 'soft' }, t('bots.diff.first')) : drawDiff(diff));
  } catch (error) {
    if (error.name !== 'AbortError') replace(view.pane, failed(error, () => compare(from, to, view)));
  }
}

function paneHead(from, to, view) {
  const others = view.versions.filter(({ version }) => version !== to);
  return h('div', { class: 'row apart' },
    others.length > 0 && h('label', { class: 'row' }, h('span', { class: 'small' }, t('bots.diff.with')),
      h('select', { class: 'small', value: String(from), onchange: (event) => compare(Number(event.target.value), to, view) },
        from === to && h('option', { value: String(to) }, '–'),
        others.map(({ version }) => h('option', { value: String(version) }, t('bots.versionNumber', { version }))))),
    to !== view.set.version && h('button', {
      type: 'button', class: 'small', onclick: (event) => busy(event.currentTarget, () => rollBack(to, view)),
    }, icon('refresh'), t('bots.rollBack', { version: to })));
}

async function rollBack(version, view) {
  try {
    await api.post(`${view.at}/rollback`, { ...api.owner(), version });
    view.close(true);
  } catch (error) {
    if (error.name !== 'ApiError') throw error;
    toast(sentence(error), { kind: 'bad' });
  }
}

const KINDS = { '+': 'added', '-': 'removed', '@': 'place' };

function drawDiff(diff) {
  if (!diff) return h('p', { class: 'soft' }, t('bots.diff.none'));
  const lines = diff.replace(/\n$/, '').split('\n').slice(2);
  return h('pre', { class: 'bot-diff', tabindex: '0', role: 'region', 'aria-label': t('bots.diff') },
    lines.map((line) => h('span', { class: KINDS[line[0]] }, `${line}\n`)));
}
