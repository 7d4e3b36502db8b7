/* Words in the reader's language, and numbers and dates as it writes them.

    t('sessions.title')                       from locales/<language>/sessions.json, key `title`
    t('sessions.count', {count: 3})           {count} is put in; with a `count`, the keys are `count.one`, `count.other`
    has('sessions.reason.banned')             whether a loaded catalogue has it
    sentence(error)                           an ApiError in words: `<catalogue>.errors.<code>` of any loaded catalogue,
                                              `common` last, else the server's own sentence
    language() → 'pt-BR' | 'en'               setLanguage(language) → Promise: remembers it; `document` gets the event `relay:language`
                                              where its words cannot be had, it throws and all stays as it was
    load(name, …) → Promise                   catalogues, before they are used (the shell does it for a page)
    number(12345.6, options)  dateTime(instant)  date(instant)  time(instant)  duration(seconds)

The language is the one chosen here before, else the browser's: Portuguese of any country is pt-BR, all else is English.
*/

import { unreachable } from './errors.js';

export const LANGUAGES = ['pt-BR', 'en'];
const KEPT = 'relay.language';

const catalogues = new Map(); // 'en/sessions' → {key: words}
const formats = new Map();
let chosen = startWith();

export function language() {
  return chosen;
}

export async function setLanguage(next) {
  const names = [...new Set([...catalogues.keys()].map((key) => key.slice(key.indexOf('/') + 1)))];
  await fetchWords(next, names);
  chosen = next;
  localStorage.setItem(KEPT, next);
  document.documentElement.lang = next;
  document.dispatchEvent(new CustomEvent('relay:language'));
}

export async function load(...names) {
  document.documentElement.lang = chosen;
  await fetchWords(chosen, names);
}

async function fetchWords(of, names) {
  const missing = names.map((name) => `${of}/${name}`).filter((key) => !catalogues.has(key));
  await Promise.all(missing.map(async (key) => {
    const answer = await fetch(new URL(`console/locales/${key}.json`, document.baseURI)).catch(() => { throw unreachable(); });
    if (!answer.ok) throw unreachable();
    catalogues.set(key, await answer.json());
  }));
}

export function has(key) {
  return find(key) !== undefined;
}

export function t(key, values = {}) {
  let words = find(key);
  if (typeof values.count === 'number') {
    words = find(`${key}.${made('PluralRules').select(values.count)}`) ?? find(`${key}.other`) ?? words;
  }
  if (words === undefined) {
    console.error(`no words for ${key}`);
    return key;
  }
  return words.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

export function sentence(error) {
  const names = [...catalogues.keys()].filter((key) => key.startsWith(`${chosen}/`)).map((key) => key.slice(chosen.length + 1));
  for (const name of names.filter((other) => other !== 'common').concat('common')) {
    const words = find(`${name}.errors.${error.code}`);
    if (words !== undefined) return words;
  }
  return error.detail || t('common.errors.unknown');
}

export function number(value, options) {
  return made('NumberFormat', options).format(value);
}

export function dateTime(instant) {
  return made('DateTimeFormat', { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(instant));
}

export function date(instant) {
  return made('DateTimeFormat', { dateStyle: 'medium' }).format(new Date(instant));
}

export function time(instant) {
  return made('DateTimeFormat', { timeStyle: 'short' }).format(new Date(instant));
}

/** 7200 → "2 h"; in the largest unit that leaves at least one. */
export function duration(seconds) {
  const [unit, size] = [['day', 86400], ['hour', 3600], ['minute', 60]].find(([, one]) => seconds >= one) ?? ['second', 1];
  return number(seconds / size, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 1 });
}

/** Intl's own, each made once for a language: making one takes longer than a hundred uses of it. */
function made(kind, options) {
  const key = `${chosen} ${kind} ${options ? JSON.stringify(options) : ''}`;
  if (!formats.has(key)) formats.set(key, new Intl[kind](chosen, options));
  return formats.get(key);
}

function find(key) {
  const dot = key.indexOf('.');
  return catalogues.get(`${chosen}/${key.slice(0, dot)}`)?.[key.slice(dot + 1)];
}

function shown(value) {
  return typeof value === 'number' ? number(value) : String(value ?? '');
}

function startWith() {
  const kept = localStorage.getItem(KEPT);
  if (LANGUAGES.includes(kept)) return kept;
  return (navigator.languages ?? [navigator.language]).map((name) => (/^pt\b/i.test(name) ? 'pt-BR' : /^en\b/i.test(name) ? 'en' : null))
    .find(Boolean) ?? 'en';
}
