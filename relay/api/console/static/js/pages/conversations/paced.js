/* paced(draw, signal) → ask(): draw() in the next frame, or a moment later if it was drawn just now; however often it is asked, once.
   ask.now() draws at once, where something waits to be drawn. Of hundreds of messages in a second people see no more. */

const GAP_MS = 150;

export function paced(draw, signal) {
  let asked = false;
  let last = -GAP_MS;
  const now = () => {
    if (!asked || signal.aborted) return;
    asked = false;
    last = performance.now();
    draw();
  };
  const ask = () => {
    if (asked) return;
    asked = true;
    const wait = last + GAP_MS - performance.now();
    if (wait > 0) setTimeout(() => requestAnimationFrame(now), wait);
    else requestAnimationFrame(now);
  };
  return Object.assign(ask, { now });
}
