/* mediaOf(content, type) → a file of a message: looked at, listened to, or fetched; what is not there yet says so. */

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { has, number, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { openDialog } from '../../parts/dialog.js';
import { words } from './text.js';

const SHOWN = { image: picture, sticker: picture, video: film, audio: sound };
const BYTES = [['gigabyte', 1e9], ['megabyte', 1e6], ['kilobyte', 1e3]];

export function mediaOf(content, type) {
  const draw = isThere(content) ? SHOWN[type] ?? file : standing;
  return [draw(content, type), content.caption && words(content.caption)];
}

function isThere({ mediaId, mediaStatus }) {
  return mediaId && (!mediaStatus || mediaStatus === 'stored');
}

function standing({ mediaStatus, mediaError }, type) {
  const kind = t(`conversations.kind.${type}`);
  if (mediaStatus === 'pending') return h('p', { class: 'bubble-note' }, icon('clock'), `${kind}: ${t('conversations.media.pending')}`);
  const key = `conversations.media.error.${mediaError}`;
  return h('p', { class: 'bubble-note' }, icon('alert'), `${kind}: ${has(key) ? t(key) : t('conversations.media.error.other')}`);
}

function picture(content, type) {
  const src = api.url(`whatsapp/media/${content.mediaId}`);
  const name = content.caption || t(`conversations.kind.${type}`);
  const image = h('img', { src, alt: name, loading: 'lazy', decoding: 'async', onerror: () => box.replaceWith(file(content, type)) });
  const box = type === 'sticker'
    ? h('div', { class: 'bubble-sticker' }, image)
    : h('button', { type: 'button', class: 'bubble-picture', title: t('conversations.media.enlarge'), onclick: () => enlarge(src, name, content) }, image);
  return box;
}

function enlarge(src, name, content) {
  openDialog({
    title: t('conversations.kind.image'), wide: true,
    body: [h('img', { src, alt: name, class: 'bubble-large' }), download(content)],
  });
}

function film(content) {
  const video = h('video', {
    src: api.url(`whatsapp/media/${content.mediaId}`), controls: true, preload: 'metadata', class: 'bubble-film',
    'aria-label': t('conversations.kind.video'), onerror: () => video.replaceWith(file(content, 'video')),
  });
  return video;
}

function sound(content) {
  const name = t(content.voice ? 'conversations.kind.voice' : 'conversations.kind.audio');
  const audio = h('audio', {
    src: api.url(`whatsapp/media/${content.mediaId}`), controls: true, preload: 'metadata', 'aria-label': name,
    onerror: () => box.replaceWith(file(content, 'audio')),
  });
  const box = h('div', { class: 'bubble-sound' }, h('span', { class: 'small' }, icon(content.voice ? 'microphone' : 'file'), name), audio);
  return box;
}

function file(content, type) {
  const name = content.fileName || t(`conversations.kind.${type}`);
  return h('a', { class: 'bubble-file', href: api.url(`whatsapp/media/${content.mediaId}`), download: content.fileName ?? '' },
    icon('file'), h('span', {}, h('strong', {}, name), h('span', { class: 'small' }, size(content))), icon('download'));
}

function download(content) {
  return h('a', { class: 'button', href: api.url(`whatsapp/media/${content.mediaId}`), download: content.fileName ?? '' }, icon('download'), t('conversations.media.download'));
}

function size({ sizeBytes, mimetype }) {
  if (!sizeBytes) return mimetype ?? '';
  const [unit, one] = BYTES.find(([, least]) => sizeBytes >= least) ?? ['byte', 1];
  return number(sizeBytes / one, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 1 });
}
