// What an operator may ask for. STOP and ABORT go at once and are asked again until answered; starting things asks first.
// Which commands a state takes is the station's to say (machine.commands). Knows nothing of pictures or values.

import { Session } from "/pages/session.js";
import { PersistentWish, wish } from "/pages/wish.js";
import { clockTime } from "/pages/words.js";

const CONFIRM = {
  start: ["Start sorting?", "Gates will fire and the feeder may run. Look at the line first.", "Start"],
  reset: ["Reset the machine?", "The stopped machine becomes ready to start.", "Reset"],
  clear: ["Clear the fault?", "Only after its cause is gone.", "Clear"],
};
const STOPPING = ["stop", "abort"];
const STOPPED = ["Stopping", "Stopped", "Aborting", "Aborted"];
const EFFECT_WITHIN_MS = 3000;

export class Commands {
  #clock;
  #session = new Session(() => this.#enable());
  #state = "";
  #reason = "";
  #allowed = [];
  #alive = false;
  #pending = null; // STOP or ABORT on its way
  #awaited = null; // {name, state, untilMs}: taken by the station, its effect not yet seen
  #answer = document.getElementById("answer");
  #stopNote = document.getElementById("stop-note");
  #stopNoteAtRest = this.#stopNote.textContent;
  #confirm = document.getElementById("confirm");
  #lock = document.getElementById("lock");
  #stop = document.getElementById("stop");
  #abort = document.getElementById("abort");
  #buttons = [...document.querySelectorAll("#controls button")];

  constructor(clock) {
    this.#clock = clock;
    for (const button of [this.#stop, this.#abort]) button.addEventListener("click", () => this.#sendStop(button.dataset.command));
    for (const button of this.#buttons) button.addEventListener("click", () => this.#ask(button.dataset.command));
    this.#lock.checked = recall("lock") === "1";
    this.#lock.addEventListener("change", () => {
      remember("lock", this.#lock.checked ? "1" : "0");
      this.#enable();
    });
  }

  begin() {
    return this.#session.begin();
  }

  refreshRole() {
    return this.#session.refresh();
  }

  // What the station last said of itself, and whether that is still true.
  follow(machine, state, alive) {
    const allowed = machine?.commands ?? [];
    this.#reason = machine?.reason ?? "";
    this.#watchEffect(state, alive);
    // It runs again: what was said of the last STOP is over.
    if (STOPPED.includes(this.#state) && !STOPPED.includes(state) && !this.#pending) this.#say(this.#stopNote, this.#stopNoteAtRest);
    if (state === this.#state && alive === this.#alive && String(allowed) === String(this.#allowed)) return;
    this.#state = state;
    this.#alive = alive;
    this.#allowed = allowed;
    this.#enable();
  }

  // Any wish but STOP and ABORT. It says when it was pressed: one that was held up on its way is void, not late.
  async send(values) {
    const name = values.command.toUpperCase();
    const asked_ns = this.#clock.stampNs(performance.now());
    if (asked_ns === null) return this.#say(this.#answer, `${name} NOT SENT: the station's time is not known yet. Try again.`, true);
    const before = this.#state; // the effect may be seen before the answer
    this.#awaited = null;
    this.#say(this.#answer, `${name} sent \u2026`);
    const { status, body } = await wish({ ...values, asked_ns });
    if (status === 401 || status === 403) return this.#notSignedIn(this.#answer, name);
    if (status === 0) return this.#say(this.#answer, `${name}: NO ANSWER. It counts for nothing if it comes later.`, true);
    if (status === 408) return this.#say(this.#answer, `${name} CAME TOO LATE and was not done. Try again.`, true);
    if (status !== 202) return this.#say(this.#answer, `${name} REFUSED: ${body.error}`, true);
    this.#say(this.#answer, `${name} received by the station at ${clockTime()}`);
    if (values.alarm === undefined) this.#await({ name, state: before });
  }

  async #sendStop(command) {
    const name = command.toUpperCase();
    const before = this.#state;
    const mine = new PersistentWish({ command }, (waiting) => this.#showPending(waiting, name));
    this.#pending = mine; // pressed again: a new one, the old one goes on
    this.#enable();
    const { status, body, tookMs } = await mine.answer();
    if (this.#pending !== mine) return;
    this.#pending = null;
    this.#enable();
    if (status === 202) {
      const tries = mine.attempts > 1 ? `, attempt ${mine.attempts} after ${(tookMs / 1000).toFixed(1)} s` : "";
      this.#say(this.#stopNote, `${name} received by the station at ${clockTime()}${tries}`);
      if (!STOPPED.includes(before)) this.#await({ name, state: before, stops: true });
    } else if (status === 401 || status === 403) {
      this.#notSignedIn(this.#stopNote, name);
    } else {
      const why = status === 0 ? "NO ANSWER" : body.error;
      this.#say(this.#stopNote, `${name} FAILED: ${why}. Use the stop at the machine.`, true);
    }
  }

  #showPending(waiting, name) {
    if (waiting !== this.#pending) return;
    if (waiting.attempts === 1) return this.#say(this.#stopNote, `${name} sent \u2026`);
    this.#say(this.#stopNote, `${name} PENDING: no answer yet, attempt ${waiting.attempts}. Use the stop at the machine.`, true);
  }

  #await(effect) {
    this.#awaited = { ...effect, untilMs: performance.now() + EFFECT_WITHIN_MS };
    this.#watchEffect(this.#state, this.#alive);
  }

  // "Received" is not "done": the state shows it, or its absence is said.
  #watchEffect(state, alive) {
    const awaited = this.#awaited;
    if (awaited === null || !alive) return;
    const place = awaited.stops ? this.#stopNote : this.#answer;
    // A line that a loss holds stays Held when HOLD is taken: then only the reason tells.
    const ordered = this.#reason.startsWith(`${awaited.name.toLowerCase()} by `);
    const done = awaited.stops ? STOPPED.includes(state) : ordered || state !== awaited.state;
    if (done) this.#say(place, `${awaited.name} done: ${state} at ${clockTime()}`);
    else if (performance.now() > awaited.untilMs) this.#say(place, `${awaited.name} HAD NO EFFECT: the machine is still ${state}`, true);
    else return;
    this.#awaited = null;
  }

  #notSignedIn(place, name) {
    this.#say(place, `${name} NOT SENT: sign in first`, true);
    this.#session.refresh();
    this.#session.ask();
  }

  #ask(command) {
    if (!(command in CONFIRM)) return this.send({ command });
    const [title, text, yes] = CONFIRM[command];
    const dialog = this.#confirm;
    document.getElementById("confirm-title").textContent = title;
    document.getElementById("confirm-text").textContent = text;
    document.getElementById("confirm-yes").textContent = yes;
    dialog.dataset.command = command;
    dialog.returnValue = "no";
    dialog.onclose = () => dialog.returnValue === "yes" && this.send({ command });
    dialog.showModal();
  }

  #enable() {
    const operator = this.#session.operator;
    const free = operator && !this.#lock.checked && this.#pending === null;
    this.#stop.disabled = !operator; // in every state, and whatever this page believes: off is off
    this.#abort.disabled = !(operator && (!this.#alive || this.#allowed.includes("abort")));
    for (const button of this.#buttons) button.disabled = !(free && this.#alive && this.#allowed.includes(button.dataset.command));
    document.querySelectorAll("[data-alarm-act]").forEach((button) => (button.disabled = !operator || this.#lock.checked));
    // The question was asked in a state that is over.
    const asking = this.#confirm.dataset.command;
    if (this.#confirm.open && !(this.#alive && this.#allowed.includes(asking))) this.#confirm.close("no");
  }

  #say(place, text, bad = false) {
    place.textContent = text;
    place.classList.toggle("bad", bad);
  }
}

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // a browser that keeps nothing still works
  }
}
