// A WebSocket that comes back by itself, with a growing pause, and gives up on silence. Never reloads the page.

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 3000;
const CONNECT_MS = 4000; // grows with the pause: a very slow machine must get through some day

export class SteadySocket {
  #path;
  #on;
  #socket = null;
  #pauseMs = FIRST_PAUSE_MS;
  #wanted = false;

  // on: {open(send), message(data, receivedMs), closed()}
  constructor(path, on) {
    this.#path = path;
    this.#on = on;
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#connect();
  }

  stop() {
    this.#wanted = false;
    this.#socket?.close();
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(values) {
    if (this.open) this.#socket.send(JSON.stringify(values));
  }

  // The other end is silent: do not wait for TCP to notice.
  restart() {
    this.#socket?.close();
    this.#lost(this.#socket);
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const path = typeof this.#path === "function" ? this.#path() : this.#path;
    const socket = new WebSocket(`${scheme}://${location.host}${path}`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const giveUp = setTimeout(() => socket.readyState === WebSocket.CONNECTING && this.restart(), CONNECT_MS * (this.#pauseMs / FIRST_PAUSE_MS));
    socket.onopen = () => {
      clearTimeout(giveUp);
      if (socket === this.#socket) this.#on.open?.();
    };
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#pauseMs = FIRST_PAUSE_MS; // only a station that talks is worth hurrying for
      this.#on.message(event.data, performance.now());
    };
    socket.onclose = () => {
      clearTimeout(giveUp);
      this.#lost(socket);
    };
  }

  #lost(socket) {
    if (socket === null || socket !== this.#socket) return;
    this.#socket = null;
    this.#on.closed?.();
    if (!this.#wanted) return;
    setTimeout(() => this.#wanted && this.#socket === null && this.#connect(), this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 1.7, LONGEST_PAUSE_MS);
  }
}
