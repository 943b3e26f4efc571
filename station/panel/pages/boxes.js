// Boxes over the picture, from the data that came with it. White and grey are normal; colour and dashes are not.

const STYLES = {
  seen: { colour: "#c9ced2", width: 1, dash: [2, 3] },
  pass: { colour: "#d7dbde", width: 1.25, dash: [] },
  eject: { colour: "#ffffff", width: 3, dash: [] },
  unsure: { colour: "#ffc44d", width: 2.5, dash: [8, 5] },
  missed: { colour: "#ff5a6e", width: 2.5, dash: [], double: true, sign: "\u2715 " },
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
  const style = STYLES[item.status] ?? STYLES.seen;
  const [left, top, right, bottom] = item.box.map((value) => value * scale);
  outline(context, left, top, right - left, bottom - top, style);
  if (style.double) outline(context, left + 5, top + 5, right - left - 10, bottom - top - 10, style);
  const name = item.label ? `${item.label}${percent(item.confidence)}` : `#${item.track_id}`;
  tag(context, (style.sign ?? "") + (item.status === "unsure" ? "? " : "") + name, left, top, limit);
}

function percent(confidence) {
  return confidence === null || confidence === undefined ? "" : ` ${Math.round(confidence * 100)}`;
}

function outline(context, x, y, width, height, style) {
  context.setLineDash([]);
  context.lineWidth = style.width + 2;
  context.strokeStyle = "rgb(0 0 0 / .55)"; // so that white shows on white
  context.strokeRect(x, y, width, height);
  context.setLineDash(style.dash);
  context.lineWidth = style.width;
  context.strokeStyle = style.colour;
  context.strokeRect(x, y, width, height);
}

function tag(context, text, left, top, limit) {
  context.font = `600 ${limit < 500 ? 10 : 12}px system-ui, sans-serif`;
  const width = context.measureText(text).width + 8;
  const height = limit < 500 ? 14 : 17;
  const x = Math.max(0, Math.min(left, limit - width));
  const y = top >= height ? top - height : top;
  context.fillStyle = "rgb(16 18 20 / .8)";
  context.fillRect(x, y, width, height);
  context.fillStyle = "#fff";
  context.textBaseline = "middle";
  context.fillText(text, x + 4, y + height / 2);
}
