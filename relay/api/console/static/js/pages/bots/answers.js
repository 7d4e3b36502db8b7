/* What the bot would do with a message, as lines of a chat, and below them why. */

import { h } from '../../dom.js';
import { duration, has, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { tag } from '../../parts/status.js';
import { marked } from './marked.js';

// What the server calls a text that is not in force.
const DRAFT = 'draft';

/** The elements for one answer of rules/explain. */
export function answers(answer) {
  const { replies, shadow, agent, handoff, events } = answer;
  const own = events.filter(({ type }) => type === 'automation.event').map(({ data }) => data.name ?? '');
  return [
    ...replies.map((reply) => h('div', { class: 'bot-bubble' }, spoken(reply), pauses(reply))),
    ...shadow.map((reply) => h('div', { class: 'bot-bubble shadow' }, tag(t('bots.sim.shadow')), spoken(reply))),
    agent && aside('robot', t('bots.sim.agent', { name: agent })),
    handoff && aside('person', t('bots.sim.handoff')),
    own.length > 0 && aside('webhook', t('bots.sim.events', { names: own.join(', ') })),
    replies.length === 0 && !agent && !handoff && silence(answer),
    h('div', { class: 'bot-why' }, why(answer)),
  ].filter(Boolean);
}

/** What a message says: its words, with its kind in front where it is no text. */
export function spoken({ type, content }) {
  const words = content.text ?? content.caption ?? content.url ?? content.name ?? content.question ?? '';
  return type === 'text' ? h('span', {}, words) : [tag(kindOf(type)), ' ', h('span', {}, words)];
}

function kindOf(type) {
  return has(`bots.sim.type.${type}`) ? t(`bots.sim.type.${type}`) : type;
}

function pauses({ waitSeconds, typingSeconds }) {
  const seconds = waitSeconds + typingSeconds;
  return seconds >= 1 && h('span', { class: 'bot-pause small soft' }, icon('clock'), duration(Math.round(seconds)));
}

function aside(draw, words) {
  return h('div', { class: 'bot-aside' }, icon(draw), words);
}

function silence({ verdict, notes }) {
  const guard = notes.find(({ code }) => code.startsWith('guard.'));
  if (verdict === 'guarded' && guard) return aside('pause', h('span', {}, t('bots.sim.guarded'), ' ', marked(guard.detail)));
  return aside('info', verdict === 'none' ? t('bots.sim.nothing') : t('bots.sim.quiet'));
}

function why({ rule, flow, step, notes, vars, tags }) {
  const source = rule ? t('bots.sim.byRule', { rule }) : flow ? t('bots.sim.byFlow', { flow }) : null;
  const known = [...Object.entries(vars).map(([name, value]) => `${name} = ${typeof value === 'string' ? value : JSON.stringify(value)}`), ...tags.map((one) => `#${one}`)];
  return h('details', {},
    h('summary', {}, t('bots.sim.why'), source && h('span', { class: 'soft' }, ` · ${source}`)),
    h('ul', { class: 'bot-notes' }, notes.length ? notes.map((note) => h('li', { class: note.fired && 'fired' }, drawNote(note))) : h('li', {}, t('bots.sim.noNotes'))),
    flow && step && h('p', { class: 'small' }, t('bots.sim.inFlow', { flow, step })),
    known.length > 0 && h('p', { class: 'small' }, t('bots.sim.known', { what: known.join(', ') })));
}

function drawNote(note) {
  const { rule, flow, step, ruleSet: from } = note;
  const name = rule ?? [flow, step].filter(Boolean).join(' › ');
  return [
    icon(note.fired ? 'check' : 'close'),
    h('span', {},
      name && h('strong', {}, name), from && from !== DRAFT && h('span', { class: 'soft' }, ` (${from})`), name && ' ',
      h('span', {}, marked(note.detail))),
  ];
}
