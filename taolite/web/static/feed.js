// What the server has, again and again: only what has changed is sent, and nothing is asked for while nobody looks.

import { address } from "./api.js";

const EVERY_MS = 2000;

export class Gone extends Error {}

/** The server's clock less the browser's, in seconds. */
export let skew_s = 0;

/** Call show(answer) now and whenever the answer changes; fail(error) where there is none, heal() once there is one
 * again. Gives a function that ends it. */
export function follow(path, asked, { show, fail, heal }) {
  let tag = null;
  let timer = null;
  let ended = false;
  const turn = async () => {
    if (document.hidden) return;
    try {
      const answer = await fresh(path, asked, tag);
      if (ended) return;
      heal();
      if (answer) {
        tag = answer.tag;
        show(answer.value);
      }
    } catch (error) {
      if (ended) return;
      if (!(error instanceof Gone)) console.error(error);
      fail(error);
    }
  };
  const loop = async () => {
    await turn();
    if (!ended) timer = setTimeout(loop, EVERY_MS);
  };
  const seen = () => { if (!document.hidden) turn(); };
  document.addEventListener("visibilitychange", seen);
  loop();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}

/** An answer once. Throws Gone. */
export async function once(path, asked) {
  return (await fresh(path, asked, null)).value;
}

async function fresh(path, asked, tag) {
  let answer;
  try {
    answer = await fetch(address(path, asked), { credentials: "same-origin", headers: tag ? { "If-None-Match": tag } : {} });
  } catch {
    throw new Gone("taolite does not answer. See whether it still runs in the terminal; this page shows what was last known.");
  }
  const date = Date.parse(answer.headers.get("Date"));
  if (date) skew_s = Math.round((date - Date.now()) / 1000);
  if (answer.status === 304) return null;
  let value;
  try {
    value = await answer.json();
  } catch {
    throw new Gone(`the server answered ${answer.status}; the terminal says why`);
  }
  if (!answer.ok) throw new Gone(value.error || `the server answered ${answer.status}`);
  return { value, tag: answer.headers.get("ETag") };
}
