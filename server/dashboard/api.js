// Asking /cairn/v1/. The key is kept for this tab alone; what goes wrong is told in words.

const KEY = "cairn-key";

export class Failure extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status; // of HTTP; 0: nobody answered
    this.code = code; // of the interface, as in "NO_COLLECTION"
  }
}

export const getKey = () => sessionStorage.getItem(KEY) ?? "";

export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

async function failureOf(answer) {
  const text = await answer.text();
  try {
    const { status, message } = JSON.parse(text).error;
    return new Failure(answer.status, status, message);
  } catch {
    return new Failure(answer.status, "", text.slice(0, 300));
  }
}

export async function ask(method, path, body, signal) {
  const headers = {};
  if (getKey()) headers["api-key"] = getKey();
  if (body !== undefined && body !== null) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/cairn/v1/${path}`, { method, headers, signal, body: headers["content-type"] ? JSON.stringify(body) : undefined });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "", "The server did not answer.");
  }
  if (!answer.ok) {
    const failure = await failureOf(answer);
    if (failure.status === 401) document.dispatchEvent(new CustomEvent("key-needed"));
    throw failure;
  }
  return answer.json();
}

export const get = (path, signal) => ask("GET", path, null, signal);
export const post = (path, body, signal) => ask("POST", path, body, signal);
export const inCollection = (name, rest = "") => `collections/${encodeURIComponent(name)}${rest}`;

// A title, and what to do next.
export function explain(failure) {
  if (failure.status === 0) return ["The server does not answer", "Is `cairn serve` still running? This page goes on asking."];
  if (failure.status === 401) {
    return getKey()
      ? ["The server does not know this key", "Press “Key” above and type in one from its keys file."]
      : ["This server asks for a key", "Press “Key” above. A key with the role read is enough."];
  }
  if (failure.status === 403) return ["This key may not see that", "It lacks the role, or is for other collections. Press “Key” above to use another."];
  if (failure.code === "NO_COLLECTION") return ["There is no such collection", "It may have been dropped. The overview lists those there are."];
  if (failure.code === "BUSY") return ["Busy", failure.message];
  if (failure.code === "CANCELLED" || failure.code === "TIMEOUT") return ["It took too long", `${failure.message}. Ask for less, or again later.`];
  return [failure.code ? `The server said ${failure.code}` : `The server said ${failure.status}`, failure.message];
}
