// The picture of a race: a surface seen from above (or, of one number, from the side), paths on it, and what leads them.
// Two canvases: paths are appended to the lower one, heads are drawn anew on the upper one.

function stage({ label, height = null, onmove = null }) {
  const lower = h("canvas", { class: "lower", role: "img", "aria-label": label });
  const upper = h("canvas", { class: "upper", "aria-hidden": "true" });
  const handle = onmove && h("button", { type: "button", class: "handle", "aria-label": say("race.drag") });
  const node = h("div", { class: "stage" }, lower, upper, handle);
  const own = { surface: null, constants: {}, domain: null, value: null, frame: null, scale: 1, redraw: () => {} };

  function fit() {
    const width = Math.round(node.clientWidth);
    if (!width || !own.surface) return;
    const [[left, right], [bottom, top]] = own.domain;
    const ratio = SURFACES[own.surface].dimension === 1 ? 0.7 : Math.min(1, Math.max(0.55, (top - bottom) / (right - left)));
    const tall = height ?? Math.round(width * ratio);
    own.scale = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [lower, upper]) {
      canvas.width = Math.round(width * own.scale);
      canvas.height = Math.round(tall * own.scale);
      canvas.style.height = `${tall}px`;
    }
    node.style.height = `${tall}px`;
    own.frame = frameOf([[left, right], [bottom, top]], width, tall);
    own.redraw();
  }

  const pens = canvas => {
    const pen = canvas.getContext("2d");
    pen.setTransform(own.scale, 0, 0, own.scale, 0, 0);
    pen.lineJoin = pen.lineCap = "round";
    return pen;
  };

  const view = {
    node, lower, upper,
    show(surface, constants, start, redraw) {
      Object.assign(own, { surface, constants, redraw, domain: domainOf(surface, constants, start), ...heightOf(surface, constants) });
      fit();
    },
    get frame() { return own.frame; },
    // A point of the surface as a point of the picture.
    at(point) {
      const { frame, surface, value } = own;
      return SURFACES[surface].dimension === 1
        ? [frame.x(point[0]), frame.y(value(point))]
        : [frame.x(point[0]), frame.y(point[1])];
    },
    clear() {
      const pen = pens(lower);
      pen.drawImage(groundOf(own), 0, 0, own.frame.width, own.frame.height);
      return pen;
    },
    pen: () => pens(lower),
    top() {
      const pen = pens(upper);
      pen.clearRect(0, 0, own.frame.width, own.frame.height);
      for (const optimum of SURFACES[own.surface].optima) ring(pen, ...view.at(optimum));
      return pen;
    },
    // The handle is what fingers, pointers and arrow keys take hold of.
    hold(point) {
      if (!handle) return;
      const [x, y] = view.at(point);
      handle.style.left = `${x}px`;
      handle.style.top = `${y}px`;
      own.start = point;
    },
  };

  if (onmove) {
    const pointOf = event => {
      const box = upper.getBoundingClientRect();
      const point = own.frame.point(event.clientX - box.left, event.clientY - box.top);
      return SURFACES[own.surface].dimension === 1 ? [point[0]] : point;
    };
    const drag = event => {
      if (event.button) return;
      event.preventDefault();
      node.setPointerCapture(event.pointerId);
      onmove(pointOf(event), true);
      const move = next => onmove(pointOf(next), true);
      const drop = () => { node.removeEventListener("pointermove", move); onmove(own.start, false); };
      node.addEventListener("pointermove", move);
      node.addEventListener("pointerup", drop, { once: true });
      node.addEventListener("pointercancel", drop, { once: true });
    };
    node.addEventListener("pointerdown", drag);
    handle.addEventListener("keydown", event => {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
      if (!dx && !dy) return;
      event.preventDefault();
      const [[left, right], [bottom, top]] = own.domain;
      const step = event.shiftKey ? 0.1 : 0.01;
      const point = own.start.map((part, k) => part + (k ? dy * (top - bottom) : dx * (right - left)) * step);
      onmove(point, false);
    });
  }
  new ResizeObserver(fit).observe(node);
  return view;
}

// What the picture shows: the surface's domain, widened to a start outside it; of one number also the heights there.
function domainOf(surface, constants, start = null) {
  const { dimension, domain } = SURFACES[surface];
  const wide = domain.map(([low, high], k) => {
    const margin = 0.1 * (high - low);
    return start && k in start && !(low <= start[k] && start[k] <= high) ? [Math.min(low, start[k] - margin), Math.max(high, start[k] + margin)] : [low, high];
  });
  if (dimension > 1) return wide;
  const { value } = heightOf(surface, constants);
  const [left, right] = wide[0];
  let low = Infinity, high = -Infinity;
  for (let k = 0; k <= 200; k++) {
    const height = value([left + ((right - left) * k) / 200]);
    low = Math.min(low, height);
    high = Math.max(high, height);
  }
  const room = 0.08 * (high - low || 1);
  return [wide[0], [low - room, high + room]];
}

function groundOf({ surface, constants, domain, value, frame, scale }) {
  const key = `${surface}|${JSON.stringify(constants)}|${domain}`;
  if (SURFACES[surface].dimension > 1) return ground(key, value, frame, scale);
  const canvas = new OffscreenCanvas(Math.round(frame.width * scale), Math.round(frame.height * scale));
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.fillStyle = ink("high");
  pen.fillRect(0, 0, frame.width, frame.height);
  pen.beginPath();
  for (let x = 0; x <= frame.width; x += 2) pen.lineTo(x, frame.y(value([frame.point(x, 0)[0]])));
  pen.strokeStyle = ink("soft");
  pen.lineWidth = 1.5;
  pen.stroke();
  pen.lineTo(frame.width, frame.height);
  pen.lineTo(0, frame.height);
  pen.fillStyle = ink("low");
  pen.fill();
  return canvas;
}

function ring(pen, x, y) {
  pen.beginPath();
  pen.arc(x, y, 6, 0, 2 * Math.PI);
  pen.moveTo(x - 10, y); pen.lineTo(x + 10, y);
  pen.moveTo(x, y - 10); pen.lineTo(x, y + 10);
  pen.strokeStyle = ink("ink");
  pen.lineWidth = 1.4;
  pen.stroke();
}

// A head at the end of a path: the racer's mark, with a rim of the ground's color.
function head(pen, [x, y], { color, mark }, size = 5.5) {
  const points = corners(mark, x, y, size);
  pen.beginPath();
  if (points) { points.forEach(point => pen.lineTo(...point)); pen.closePath(); } else pen.arc(x, y, size, 0, 2 * Math.PI);
  pen.strokeStyle = ink("ground");
  pen.lineWidth = 2.5;
  pen.stroke();
  pen.fillStyle = color;
  pen.fill();
}

// A stretch of a path, from one step to another; `far` is how long the path was before, so that dashes go on.
function stretch(pen, view, path, from, to, { color, dash, width = 2.2, opacity = 1 }, far = 0) {
  if (to <= from) return far;
  pen.beginPath();
  let last = null;
  let length = far;
  for (let step = from; step <= to; step++) {
    const spot = view.at(path.point(step));
    if (!spot.every(Number.isFinite)) break;
    spot[0] = Math.max(-3000, Math.min(3000, spot[0]));
    spot[1] = Math.max(-3000, Math.min(3000, spot[1]));
    if (last) { length += Math.hypot(spot[0] - last[0], spot[1] - last[1]); pen.lineTo(...spot); } else pen.moveTo(...spot);
    last = spot;
  }
  pen.globalAlpha = opacity;
  pen.setLineDash(dash);
  pen.lineDashOffset = far;
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
  return length;
}
