/* One rule set: its text, what the server says of it, and a chat that tries it out before anybody is served by it.

    text ──each change──► check (dry run) ──► lines marked, tests named
      │                                        └► put in force ──► a new version
      └──► simulator (explain with the text as it stands)
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { openDialog } from '../../parts/dialog.js';
import { busy, field } from '../../parts/form.js';
import { pageHeader } from '../../parts/header.js';
import { loading } from '../../parts/states.js';
import { badge } from '../../parts/status.js';
import { toast } from '../../parts/toast.js';
import { back, orGone } from './back.js';
import { checker } from './check.js';
import { draftsOf } from './drafts.js';
import { yamlEditor } from './editor.js';
import { problems } from './problems.js';
import { simulator } from './simulator.js';
import { showVersions } from './versions.js';
import { words } from './words.js';

export async function showRuleSet(container, name, { who, signal }) {
  replace(container, loading());
  const set = await orGone(container, 'rules', () => find(name, who, signal));
  if (set === undefined) return;
  const view = new RuleSetView({ name, set, who, signal });
  replace(container, await view.draw());
  view.checker.now();
}

/** Null: it is a draft only. */
async function find(name, who, signal) {
  try {
    return await api.get(`rules/${encodeURIComponent(name)}`, {}, { signal });
  } catch (error) {
    if (error.code === 'not_found' && draftsOf(who).has(name)) return null;
    throw error;
  }
}

class RuleSetView {
  constructor({ name, set, who, signal }) {
    Object.assign(this, { name, set, who, signal, drafts: draftsOf(who), state: { kind: 'checking' } });
    this.standing = h('span', { class: 'row', role: 'status' });
    this.problems = problems({ goTo: (line, column) => this.editor.goTo(line, column), lineOf: (test) => this.lineOf(test) });
    this.editor = yamlEditor({
      label: t('bots.editor', { name }), describedBy: this.problems.id, value: this.drafts.get(name) ?? set.source, onInput: () => this.changed(),
    });
    this.checker = checker({ name, text: () => this.editor.text(), tell: (state) => this.tell(state), signal });
    this.versions = h('button', { type: 'button', onclick: () => this.showVersions() }, icon('clock'), t('bots.versions'));
    this.undo = h('button', { type: 'button', class: 'quiet', onclick: () => this.write(this.set.source) }, t('bots.discard'));
    this.save = h('button', { type: 'button', class: 'primary', onclick: () => busy(this.save, () => this.putInForce()) }, icon('check'), t('bots.putInForce'));
  }

  async draw() {
    const head = pageHeader({ title: this.name, actions: [this.undo, this.versions, this.save] });
    head.firstElementChild.append(this.standing);
    this.stand();
    return [
      back('rules'),
      head,
      h('div', { class: 'bot-bench' },
        h('section', { class: 'stack', 'aria-label': t('bots.text.label') }, this.editor.element, this.problems.element, words()),
        await simulator({ source: () => this.editor.text(), who: this.who, signal: this.signal })),
    ];
  }

  changed() {
    const text = this.editor.text();
    if (text === this.set?.source) this.drafts.delete(this.name);
    else this.drafts.set(this.name, text);
    this.stand();
    this.checker.soon();
  }

  write(text) {
    this.editor.write(text);
    this.changed();
  }

  /** Which version is in force, and whether the text is another. */
  stand() {
    const differs = this.editor.text() !== this.set?.source;
    replace(this.standing,
      this.set ? badge('good', t('bots.inForce', { version: this.set.version })) : badge('off', t('bots.notInForce')),
      this.set && differs && badge('busy', t('bots.unsaved')));
    this.versions.hidden = !this.set;
    this.undo.hidden = !this.set || !differs;
    this.save.hidden = !differs;
  }

  tell(state) {
    this.state = state;
    this.problems.show(state);
    if (state.kind === 'checking') return;
    const wrong = (state.errors ?? []).map(({ line, test }) => line ?? this.lineOf(test));
    this.editor.mark(wrong.filter(Boolean));
  }

  /** Where a test of that name stands in the text; undefined where that is not plain to see. */
  lineOf(test) {
    const at = this.editor.text().split('\n').findIndex((line) => /\bname:/.test(line) && line.includes(test));
    return at < 0 ? undefined : at + 1;
  }

  async putInForce() {
    if (this.state.kind === 'checking') await this.checker.now();
    if (this.state.kind === 'mistakes') {
      const [{ line, column }] = this.state.errors;
      toast(t('bots.errors.rules_invalid'), { kind: 'bad' });
      this.editor.goTo(line, column);
      return;
    }
    const failing = this.state.kind === 'tests';
    const done = await openDialog({
      title: t('bots.putInForce.title', { name: this.name }),
      body: [
        h('p', {}, t('bots.putInForce.text')),
        field({ label: t('bots.note'), name: 'note', maxlength: 200, autocomplete: 'off', placeholder: t('bots.note.example'), hint: t('bots.note.hint') }),
        failing && field({ label: t('bots.skipTests'), name: 'skipTests', type: 'check', hint: t('bots.skipTests.hint') }),
      ],
      actions: [{ label: t('common.cancel') }, { label: t('bots.putInForce'), kind: 'primary', run: (given) => this.put(given) }],
      signal: this.signal,
    });
    if (done) toast(t('bots.putInForce.done', { version: done.version }));
  }

  async put({ note, skipTests }) {
    const source = this.editor.text();
    const options = { type: 'application/yaml', query: { note, skipTests: skipTests || null } };
    const answer = await api.put(`rules/${encodeURIComponent(this.name)}`, source, options);
    this.set = { ...answer, source };
    this.drafts.delete(this.name);
    if (this.editor.text() !== source) this.changed();
    this.stand();
    return answer;
  }

  async showVersions() {
    const rolledBack = await showVersions(this.set, { signal: this.signal });
    if (!rolledBack) return;
    const untouched = this.editor.text() === this.set.source;
    this.set = await api.get(`rules/${encodeURIComponent(this.name)}`, {}, { signal: this.signal });
    // What somebody is writing stays theirs.
    if (untouched) this.write(this.set.source);
    this.stand();
    toast(t('bots.putInForce.done', { version: this.set.version }));
  }
}
