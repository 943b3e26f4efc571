// What an operator may ask for. STOP goes at once; starting things asks first. Knows nothing of pictures or values.

const CONFIRM = {
  start: ["Start sorting?", "Gates will fire and the feeder may run. Look at the line first.", "Start"],
  reset: ["Reset the machine?", "The stopped machine becomes ready to start.", "Reset"],
  clear: ["Clear the fault?", "Only after its cause is gone.", "Clear"],
};

// Which buttons mean something in which state; the station has the last word.
const ALLOWED = {
  start: ["Idle", "Held"],
  hold: ["Execute", "Suspended"],
  reset: ["Stopped"],
  clear: ["Aborted"],
};

export class Commands {
  #role = "nobody";
  #state = "";
  #alive = false;
  #answer = document.getElementById("answer");
  #stopNote = document.getElementById("stop-note");
  #place = this.#answer; // where the answer to the last command is written
  #stop = document.getElementById("stop");
  #lock = document.getElementById("lock");
  #who = document.getElementById("who");
  #buttons = [...document.querySelectorAll("#controls button")];

  constructor() {
    this.#stop.addEventListener("click", () => this.send({ command: "stop" }));
    for (const button of this.#buttons) button.addEventListener("click", () => this.#ask(button.dataset.command));
    this.#lock.checked = recall("lock") === "1";
    this.#lock.addEventListener("change", () => {
      remember("lock", this.#lock.checked ? "1" : "0");
      this.#enable();
    });
    this.#who.addEventListener("click", () => document.getElementById("sign-in").showModal());
    document.getElementById("sign-in-cancel").addEventListener("click", () => document.getElementById("sign-in").close());
    document.getElementById("sign-in-form").addEventListener("submit", (event) => this.#signInFromForm(event));
  }

  get operator() {
    return this.#role === "operator";
  }

  // The token comes once, behind the # of the printed address; it never reaches a log, and leaves the address bar here.
  async begin() {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token) {
      history.replaceState(null, "", location.pathname);
      await this.#signIn(token);
    }
    await this.refreshRole();
  }

  async refreshRole() {
    try {
      this.#role = (await (await fetch("/api/v1/session")).json()).role ?? "nobody";
    } catch {
      return; // the banner already says that there is no connection
    }
    this.#enable();
  }

  follow(state, alive) {
    if (state === this.#state && alive === this.#alive) return;
    this.#state = state;
    this.#alive = alive;
    this.#enable();
  }

  async send(values) {
    const name = values.command.toUpperCase();
    this.#place = values.command === "stop" ? this.#stopNote : this.#answer;
    this.#say(`${name} sent …`, false);
    try {
      const reply = await fetch("/api/v1/commands", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Station": "1" },
        body: JSON.stringify(values),
        signal: AbortSignal.timeout(2000),
      });
      if (reply.ok) return this.#say(`${name} received by the station at ${new Date().toLocaleTimeString()}`, false);
      if (reply.status === 401 || reply.status === 403) {
        this.#say(`${name} NOT SENT: sign in first`, true);
        await this.refreshRole();
        return document.getElementById("sign-in").showModal();
      }
      const body = await reply.json();
      this.#say(`${name} REFUSED: ${body.error}`, true);
    } catch {
      const stop = values.command === "stop" ? " Use the stop at the machine." : "";
      this.#say(`${name} DID NOT REACH THE STATION.${stop}`, true);
    }
  }

  #ask(command) {
    if (!(command in CONFIRM)) return this.send({ command });
    const [title, text, yes] = CONFIRM[command];
    const dialog = document.getElementById("confirm");
    document.getElementById("confirm-title").textContent = title;
    document.getElementById("confirm-text").textContent = text;
    document.getElementById("confirm-yes").textContent = yes;
    dialog.returnValue = "no";
    dialog.onclose = () => dialog.returnValue === "yes" && this.send({ command });
    dialog.showModal();
  }

  async #signInFromForm(event) {
    event.preventDefault();
    const field = document.getElementById("token");
    const problem = await this.#signIn(field.value.trim());
    field.value = "";
    document.getElementById("sign-in-error").textContent = problem;
    if (problem) return field.focus();
    document.getElementById("sign-in").close();
    await this.refreshRole();
  }

  async #signIn(token) {
    try {
      const reply = await fetch("/api/v1/session", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Station": "1" },
        body: JSON.stringify({ token }),
      });
      return reply.ok ? "" : (await reply.json()).error;
    } catch {
      return "no connection to the station";
    }
  }

  #enable() {
    const operator = this.operator;
    this.#stop.disabled = !operator;
    this.#who.textContent = operator ? "Operator" : "View only \u2013 sign in";
    for (const button of this.#buttons) {
      const fits = (ALLOWED[button.dataset.command] ?? []).includes(this.#state);
      button.disabled = !(operator && this.#alive && fits) || this.#lock.checked;
    }
    document.body.classList.toggle("viewer", !operator);
    document.querySelectorAll("[data-alarm-act]").forEach((button) => (button.disabled = !operator || this.#lock.checked));
  }

  #say(text, bad) {
    this.#place.textContent = text;
    this.#place.classList.toggle("bad", bad);
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
