// Lines over steps, as SVG: drawn to the width that there is, and anew when that changes.
//
// spec: {x: axis, y: axis, lines: [{x, y, color, dash, width, name, opacity}], bands: [{x, low, high, color}],
//        rules: [{x | y, text}], dots: [{x, y, color, mark, text}], height}
// axis: {label, scale: "linear" | "log", low, high}; low and high are of the data where they are left out.

const PAD = { left: 58, right: 16, top: 26, bottom: 38 };
const MOST_POINTS = 700; // a line has no more corners than pixels

function chart(spec) {
  const box = h("div", { class: "chart" });
  const own = { clip: fresh("clip"), until: Infinity };
  const view = {
    node: box,
    show(next) { spec = next; draw(); },
    until(x) { own.until = x; if (own.rect) own.rect.setAttribute("width", Math.max(0, own.across(x) - PAD.left + 1)); },
  };
  function draw() {
    const width = box.clientWidth;
    if (!width || !spec) return;
    const height = spec.height ?? 230;
    const x = axis(spec.x, limits(spec, "x"), PAD.left, width - PAD.right);
    const y = axis(spec.y, limits(spec, "y"), height - PAD.bottom, PAD.top);
    own.across = value => (value === Infinity ? width - PAD.right : Math.min(width, x.at(value)));
    own.rect = svg("rect", { x: PAD.left, y: 0, height, width: Math.max(0, own.across(own.until) - PAD.left + 1) });
    const inside = `${own.clip}-frame`;
    fill(box, svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": spec.title ?? "" },
      svg("defs", {},
        svg("clipPath", { id: own.clip }, own.rect),
        svg("clipPath", { id: inside }, svg("rect", { x: PAD.left, y: PAD.top - 4, width: width - PAD.left - PAD.right + 4, height: height - PAD.top - PAD.bottom + 8 }))),
      frame(spec, x, y, width, height),
      svg("g", { "clip-path": `url(#${inside})` },
        svg("g", { "clip-path": `url(#${own.clip})` },
          (spec.bands ?? []).map(band => area(band, x, y)),
          (spec.lines ?? []).map(line => polyline(line, x, y)))),
      (spec.rules ?? []).map(rule => ruled(rule, x, y, width, height)),
      (spec.dots ?? []).map(dot => dotted(dot, x, y, width))));
  }
  new ResizeObserver(draw).observe(box);
  return view;
}

function limits(spec, which) {
  const given = spec[which];
  let low = Infinity, high = -Infinity;
  const lists = [...(spec.lines ?? []).map(line => line[which]), ...(spec.bands ?? []).flatMap(band => (which === "x" ? [band.x] : [band.low, band.high]))];
  for (const list of lists) for (const value of list) {
    if (!Number.isFinite(value) || (given.scale === "log" && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = given.scale === "log" ? [0.1, 1] : [0, 1];
  if (given.floor !== undefined) low = Math.max(low, given.floor);
  low = given.low ?? low;
  high = Math.max(given.high ?? high, low);
  if (low === high) [low, high] = given.scale === "log" ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  else if (which === "y" && given.scale !== "log") {
    const room = 0.04 * (high - low);
    [low, high] = [given.low ?? low - room, given.high ?? high + room];
  } else if (which === "y") [low, high] = [given.low ?? low / 1.2, given.high ?? high * 1.2];
  return [low, high];
}

function axis({ scale = "linear", label }, [low, high], from, to) {
  const through = scale === "log" ? value => Math.log10(Math.max(value, 1e-300)) : value => value;
  const start = through(low), span = through(high) - start;
  const at = value => from + ((through(value) - start) / span) * (to - from);
  const room = Math.abs(to - from) / (scale === "log" ? 34 : 48);
  const decades = scale === "log" ? powers(low, high, Math.max(2, room)) : [];
  return { at, label, marks: decades.length > 1 ? decades : ticks(low, high, Math.max(2, room)).filter(each => scale !== "log" || each > 0) };
}

function frame(spec, x, y, width, height) {
  const right = width - PAD.right, bottom = height - PAD.bottom;
  return svg("g", { class: "axes" },
    y.marks.map(value => [
      svg("line", { x1: PAD.left, x2: right, y1: y.at(value), y2: y.at(value), class: "grid" }),
      svg("text", { x: PAD.left - 7, y: y.at(value) + 4, "text-anchor": "end" }, shown(value, 3)),
    ]),
    x.marks.map(value => [
      svg("line", { x1: x.at(value), x2: x.at(value), y1: bottom, y2: bottom + 4, class: "tick" }),
      svg("text", { x: x.at(value), y: bottom + 17, "text-anchor": "middle" }, shown(value, 3)),
    ]),
    svg("line", { x1: PAD.left, x2: right, y1: bottom, y2: bottom, class: "tick" }),
    svg("text", { x: right, y: height - 4, "text-anchor": "end", class: "label" }, x.label),
    svg("text", { x: 2, y: 12, class: "label" }, y.label));
}

function polyline({ x, y, color, dash, width = 2, opacity = 1, name }, across, up) {
  const stride = Math.max(1, Math.ceil(x.length / MOST_POINTS));
  let path = "", pen = "M";
  for (let k = 0; k < x.length; k += k + stride < x.length || k === x.length - 1 ? stride : x.length - 1 - k) {
    const height = up.at(y[k]);
    if (!Number.isFinite(height) || !Number.isFinite(y[k])) { pen = "M"; continue; }
    path += `${pen}${across.at(x[k]).toFixed(1)} ${Math.max(-2000, Math.min(4000, height)).toFixed(1)}`;
    pen = "L";
  }
  return svg("path", { d: path, stroke: color ?? "currentColor", "stroke-width": width, opacity, fill: "none", "stroke-linejoin": "round",
    "stroke-dasharray": (dash ?? []).join(" ") || null, "data-line": name });
}

function area({ x, low, high, color, opacity = 0.2 }, across, up) {
  const there = Array.from(x, (value, k) => `${across.at(value).toFixed(1)},${up.at(high[k]).toFixed(1)}`);
  const back = Array.from(x, (value, k) => `${across.at(value).toFixed(1)},${up.at(low[k]).toFixed(1)}`).reverse();
  return svg("polygon", { points: [...there, ...back].join(" "), fill: color, opacity });
}

function ruled({ x, y, text, below = false, dash = "3 3" }, across, up, width, height) {
  const line = x === undefined
    ? { x1: PAD.left, x2: width - PAD.right, y1: up.at(y), y2: up.at(y) }
    : { x1: across.at(x), x2: across.at(x), y1: PAD.top, y2: height - PAD.bottom };
  const place = x === undefined
    ? { x: width - PAD.right, y: up.at(y) + (below ? 14 : -5), "text-anchor": "end" }
    : { x: across.at(x) + (across.at(x) > width * 0.7 ? -5 : 5), y: PAD.top + 10, "text-anchor": across.at(x) > width * 0.7 ? "end" : "start" };
  return svg("g", { class: "rule" }, svg("line", { ...line, "stroke-dasharray": dash }), text && svg("text", place, text));
}

function dotted({ x, y, color, mark, text }, across, up, width) {
  const [left, top] = [across.at(x), up.at(y)];
  if (!Number.isFinite(left) || !Number.isFinite(top)) return null;
  const points = corners(mark, left, top, 5);
  const end = left > width * 0.7;
  return svg("g", { class: "dot" },
    points ? svg("polygon", { points: points.join(" "), fill: color }) : svg("circle", { cx: left, cy: top, r: 5, fill: color }),
    text && svg("text", { x: left + (end ? -9 : 9), y: top - 8, "text-anchor": end ? "end" : "start" }, text));
}

const legend = lines => h("ul", { class: "legend" }, lines.map(line => h("li", {}, swatch(line), " ", line.name)));
