// Who sits here: viewer or operator. A token is traded for a cookie that scripts cannot read. Knows no commands.

const byId = (id) => document.getElementById(id);

export class Session {
  #changed;
  role = "nobody";

  constructor(changed) {
    this.#changed = changed;
    byId("who").addEventListener("click", () => this.ask());
    byId("sign-in-cancel").addEventListener("click", () => byId("sign-in").close());
    byId("sign-in-form").addEventListener("submit", (event) => this.#signInFromForm(event));
  }

  get operator() {
    return this.role === "operator";
  }

  ask() {
    if (!byId("sign-in").open) byId("sign-in").showModal();
  }

  // The token comes once, behind the # of the printed address; it never reaches a log, and leaves the address bar here.
  async begin() {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token) {
      history.replaceState(null, "", location.pathname);
      await this.#signIn(token);
    }
    await this.refresh();
  }

  async refresh() {
    try {
      this.role = (await (await fetch("/api/v1/session")).json()).role ?? "nobody";
    } catch {
      return; // the banner already says that there is no connection
    }
    byId("who").textContent = this.operator ? "Operator" : "View only \u2013 sign in";
    document.body.classList.toggle("viewer", !this.operator);
    this.#changed();
  }

  async #signInFromForm(event) {
    event.preventDefault();
    const field = byId("token");
    const problem = await this.#signIn(field.value.trim());
    field.value = "";
    byId("sign-in-error").textContent = problem;
    if (problem) return field.focus();
    byId("sign-in").close();
    await this.refresh();
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
}
