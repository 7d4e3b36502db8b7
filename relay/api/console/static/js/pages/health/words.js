/* whatOf(problem), mendOf(problem, {server}) → a problem in the reader's language; the server's own words for a code that is unknown here. */

import { dateTime, duration, has, t } from '../../i18n.js';

export function whatOf(problem) {
  const key = `health.problem.${problem.code}`;
  if (!isKnown(key)) return problem.detail;
  const words = t(problem.count === 0 && has(`${key}.none`) ? `${key}.none` : key, valuesOf(problem));
  return problem.sessionId && problem.count && !COUNTING.has(problem.code)
    ? `${words} ${t('health.waiting', { count: problem.count })}` : words;
}

export function mendOf({ code, mend }, { server }) {
  const key = server && has(`health.mend.${code}.server`) ? `health.mend.${code}.server` : `health.mend.${code}`;
  return has(key) ? t(key) : mend;
}

// These say how many wait by themselves.
const COUNTING = new Set(['messages_waiting', 'budget_used_up']);

function isKnown(key) {
  return has(key) || has(`${key}.other`);
}

function valuesOf({ code, name, count, seconds, until, reason }) {
  return {
    name, count,
    duration: seconds === undefined ? '' : duration(Math.round(seconds / 60) * 60 || Math.round(seconds)),
    until: until ? dateTime(until) : '',
    reason: reasonOf(code, reason),
  };
}

function reasonOf(code, reason) {
  if (code === 'agent_failing') return t(`health.call.${reason}`);
  const key = `sessions.reason.${reason}`;
  return has(key) ? t(key) : '';
}
