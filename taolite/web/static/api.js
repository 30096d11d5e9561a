// Requests to the server that the page came from. Errors are sentences for the user.

export class Refused extends Error {}

/** GET a JSON answer; `asked` becomes the query. Throws Refused. */
export function get(path, asked = {}) {
  return ask(address(path, asked), {});
}

/** POST JSON, or the bytes of a picture. Throws Refused. */
export function post(path, { asked = {}, json, body } = {}) {
  const headers = { "X-Taolite": "1" };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  return ask(address(path, asked), { method: "POST", headers, body: json !== undefined ? JSON.stringify(json) : body });
}

/** GET a picture: {blob, headers}. Throws Refused. */
export async function getPicture(path, asked = {}) {
  const answer = await reach(address(path, asked), {});
  if (!answer.ok) throw new Refused(await reason(answer));
  return { blob: await answer.blob(), headers: answer.headers };
}

export function address(path, asked) {
  const query = new URLSearchParams(asked).toString();
  return query ? `${path}?${query}` : path;
}

async function ask(url, options) {
  const answer = await reach(url, options);
  if (!answer.ok) throw new Refused(await reason(answer));
  return answer.json();
}

async function reach(url, options) {
  try {
    return await fetch(url, { ...options, credentials: "same-origin" });
  } catch {
    throw new Refused("taolite does not answer. See whether it still runs in the terminal; what is drawn here stays.");
  }
}

async function reason(answer) {
  try {
    return (await answer.json()).error || `the server answered ${answer.status}`;
  } catch {
    return `the server answered ${answer.status}; the terminal says why`;
  }
}
