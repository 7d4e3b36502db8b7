/* Light, dark, or as the system has it: `data-theme` on <html>, remembered in this browser. It is nothing of a message or key. */

const KEPT = 'relay.theme';

export function theme() {
  return localStorage.getItem(KEPT) ?? 'system';
}

export function setTheme(next) {
  localStorage.setItem(KEPT, next);
  applyTheme();
}

export function applyTheme() {
  const chosen = theme();
  if (chosen === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
