// One wish of an operator on its way to the station, and what became of it. Knows no buttons.

const ANSWER_WITHIN_MS = 2000; // the station lets nothing but STOP and ABORT happen later than that
const ATTEMPTS_MS = [0, 700, 1500, 2500, 4000, 6000, 8000]; // after the press; a browser keeps six requests to a host waiting
const STOP_WITHIN_MS = 10000;

// {status, body}; status 0: no answer.
async function post(values, signal) {
  try {
    const reply = await fetch("/api/v1/commands", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Station": "1" },
      body: JSON.stringify(values),
      signal,
    });
    return { status: reply.status, body: await reply.json() };
  } catch {
    return { status: 0, body: {} };
  }
}

export function wish(values) {
  return post(values, AbortSignal.timeout(ANSWER_WITHIN_MS));
}

// STOP and ABORT: asked again until the station has answered, for ten seconds. Attempts overlap, since the first may wait behind a
// line that is dead while a second gets through; the first answer counts. Twice stopped is stopped.
export class PersistentWish {
  #values;
  #over = new AbortController();
  #last = { status: 0, body: {} };
  #told;
  attempts = 0;

  // told(wish): called at each attempt, so that waiting can be shown.
  constructor(values, told) {
    this.#values = values;
    this.#told = told;
  }

  // The answer that counts, or the last refusal when time is up.
  async answer() {
    const begunMs = performance.now();
    const timers = [];
    const settled = new Promise((done) => {
      const attempt = async () => {
        this.attempts += 1;
        this.#told(this);
        const reply = await post(this.#values, this.#over.signal);
        if (this.#over.signal.aborted) return;
        if (reply.status !== 0) this.#last = reply;
        if (isFinal(reply.status)) done(reply);
      };
      for (const afterMs of ATTEMPTS_MS) timers.push(setTimeout(attempt, afterMs));
      timers.push(setTimeout(() => done(this.#last), STOP_WITHIN_MS));
    });
    const reply = await settled;
    timers.forEach(clearTimeout);
    this.#over.abort();
    return { ...reply, tookMs: performance.now() - begunMs };
  }
}

// Taken, or refused for a reason that asking again does not change. 503: the station does not listen at this moment.
function isFinal(status) {
  return status !== 0 && status !== 429 && status < 500;
}
