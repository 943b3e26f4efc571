// Boxes over the picture, from the data that came with it. White and grey are normal; amber is not, and never stands alone:
// corners only = undecided, thin = passes, thick with an arrow = diverted, crossed = missed, dashed = unconfirmed.

const DARK = "rgb(20 22 24 / .75)";
const STYLES = {
  undecided: { colour: "#c9ced2", width: 1.5, corners: true },
  pass: { colour: "#e8ebed", width: 1.5, fate: () => "pass" },
  divert: { colour: "#ffffff", width: 3.5, fate: (item) => (item.gates ? `\u2192 gate ${item.gates}` : "\u2192 eject") },
  missed: { colour: "#ffc44d", width: 2.5, crossed: true, fate: (item) => `\u2715 MISSED ${item.note ?? ""}` },
  unconfirmed: { colour: "#ffc44d", width: 2.5, dash: [8, 5], fate: (item) => `? UNCONFIRMED ${item.note ?? ""}` },
};

export function drawBoxes(overlay, picture, facts) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(picture.clientWidth * ratio);
  const height = Math.round(picture.clientHeight * ratio);
  if (overlay.width !== width || overlay.height !== height) {
    overlay.width = width;
    overlay.height = height;
  }
  const context = overlay.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  if (!facts?.boxes || !width) return;
  context.scale(ratio, ratio);
  const scale = picture.clientWidth / facts.width_px;
  for (const item of facts.boxes) drawItem(context, item, scale, picture.clientWidth);
}

function drawItem(context, item, scale, limit) {
  const style = STYLES[item.mark] ?? STYLES.undecided;
  const points = corners(item.box, scale);
  const path = style.corners ? cornerPath(points) : closedPath(points, style.crossed);
  context.setLineDash([]);
  context.lineWidth = style.width + 2;
  context.strokeStyle = DARK; // so that white shows on white
  context.stroke(path);
  context.setLineDash(style.dash ?? []);
  context.lineWidth = style.width;
  context.strokeStyle = style.colour;
  context.stroke(path);
  context.setLineDash([]);
  drawTag(context, item, style, points, limit);
}

// box: centre x y, length, width in px of the full picture, angle in degrees.
function corners([cx, cy, length, width, angle], scale) {
  const turn = (angle * Math.PI) / 180;
  const [ax, ay] = [(Math.cos(turn) * length) / 2, (Math.sin(turn) * length) / 2];
  const [bx, by] = [(-Math.sin(turn) * width) / 2, (Math.cos(turn) * width) / 2];
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => [(cx + a * ax + b * bx) * scale, (cy + a * ay + b * by) * scale]);
}

function closedPath(points, crossed) {
  const path = new Path2D();
  points.forEach(([x, y], n) => (n ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
  if (crossed) {
    for (const [from, to] of [[0, 2], [1, 3]]) {
      path.moveTo(...points[from]);
      path.lineTo(...points[to]);
    }
  }
  return path;
}

function cornerPath(points) {
  const path = new Path2D();
  points.forEach(([x, y], n) => {
    const [px, py] = points[(n + 3) % 4];
    const [nx, ny] = points[(n + 1) % 4];
    path.moveTo(x + (px - x) * 0.22, y + (py - y) * 0.22);
    path.lineTo(x, y);
    path.lineTo(x + (nx - x) * 0.22, y + (ny - y) * 0.22);
  });
  return path;
}

// Who it is, what it is thought to be, and what will happen to it: above the box, inside the picture.
function drawTag(context, item, style, points, limit) {
  const small = limit < 500;
  const height = small ? 14 : 18;
  context.font = `600 ${small ? 10 : 12}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const confidence = typeof item.confidence === "number" ? ` ${Math.round(item.confidence * 100)} %` : "";
  const name = item.label ? `${item.label}${confidence}` : `#${item.track_id}`;
  const fate = (style.fate?.(item) ?? "").trim();
  const nameWidth = context.measureText(name).width + 8;
  const fateWidth = fate ? context.measureText(fate).width + 8 : 0;
  const left = Math.max(0, Math.min(Math.min(...points.map(([x]) => x)), limit - nameWidth - fateWidth));
  const top = Math.max(0, Math.min(...points.map(([, y]) => y)) - height - 3);
  chip(context, name, [left, top, nameWidth, height], "rgb(16 18 20 / .85)", "#fff");
  const plain = style === STYLES.pass;
  if (fate) chip(context, fate, [left + nameWidth, top, fateWidth, height], plain ? "rgb(16 18 20 / .85)" : style.colour, plain ? "#c9ced2" : "#111");
}

function chip(context, text, [x, y, width, height], back, front) {
  context.fillStyle = back;
  context.fillRect(x, y, width, height);
  context.fillStyle = front;
  context.fillText(text, x + 4, y + height / 2 + 0.5);
}
