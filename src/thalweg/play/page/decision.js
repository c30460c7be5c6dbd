// What the small network says of each place of the square, with the points; and its weights as lines.

const CLASSES = [{ color: "#cd8309", mark: "square" }, { color: "#1a95fe", mark: "circle" }];

function decisionView(label, onpoint) {
  const canvas = h("canvas", { class: "decision", role: "img", "aria-label": label });
  const frame = () => frameOf([[-1.1, 1.1], [-1.1, 1.1]], canvas.width, canvas.height);
  canvas.width = canvas.height = 480;
  canvas.addEventListener("pointerdown", event => {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    onpoint(frame().point((event.clientX - box.left) * scale, (event.clientY - box.top) * scale));
  });
  const small = new OffscreenCanvas(CELLS, CELLS);
  return {
    node: canvas,
    draw({ net, tensors, learn, judge }) {
      const pen = canvas.getContext("2d"), where = frame();
      const image = new ImageData(CELLS, CELLS), into = buffers(net);
      const ground = rgb(ink("ground")), colors = CLASSES.map(each => rgb(each.color));
      for (let row = 0; row < CELLS; row++) for (let column = 0; column < CELLS; column++) {
        const z = forward(net, tensors, where.point(((column + 0.5) / CELLS) * canvas.width, ((row + 0.5) / CELLS) * canvas.height), into);
        const sure = Math.abs(2 / (1 + Math.exp(-z)) - 1);
        image.data.set([...mixed(ground, colors[z > 0 ? 1 : 0], 0.1 + 0.45 * sure), 255], (row * CELLS + column) * 4);
      }
      small.getContext("2d").putImageData(image, 0, 0);
      pen.drawImage(small, 0, 0, canvas.width, canvas.height);
      for (const [points, filled] of [[judge, false], [learn, true]]) for (const [x, y, label] of points) dot(pen, where.x(x), where.y(y), CLASSES[label], filled);
    },
  };
}

function dot(pen, x, y, { color, mark }, filled) {
  const points = corners(mark, x, y, 4);
  pen.beginPath();
  if (points) { points.forEach(point => pen.lineTo(...point)); pen.closePath(); } else pen.arc(x, y, 4, 0, 2 * Math.PI);
  pen.strokeStyle = filled ? ink("ground") : color;
  pen.fillStyle = filled ? color : ink("ground");
  pen.lineWidth = 1.4;
  pen.fill();
  pen.stroke();
}

// Units as rings, weights as lines: as thick as they are large, dashed where they are negative.
function wires({ net, tensors }, width) {
  const { sizes, layers } = net;
  const height = 220, most = 12;
  const x = k => 16 + (k / (sizes.length - 1)) * (width - 32);
  const drawn = k => Math.min(sizes[k], most);
  const y = (k, unit) => height / 2 + (unit - (drawn(k) - 1) / 2) * Math.min(34, (height - 24) / most);
  const largest = layers.map(({ weights }) => tensors[weights].reduce((a, w) => Math.max(a, Math.abs(w)), 1e-9));
  const lines = layers.flatMap(({ from, weights }, k) => Array.from({ length: drawn(k + 1) }, (_, j) => Array.from({ length: drawn(k) }, (_, i) => {
    const weight = tensors[weights][j * from + i], share = Math.abs(weight) / largest[k];
    return svg("line", { x1: x(k), y1: y(k, i), x2: x(k + 1), y2: y(k + 1, j), stroke: CLASSES[weight > 0 ? 1 : 0].color, "stroke-width": (0.3 + 3.2 * share).toFixed(2), "stroke-dasharray": weight < 0 ? "5 3" : null, opacity: (0.25 + 0.75 * share).toFixed(2) });
  })));
  const units = sizes.flatMap((_, k) => Array.from({ length: drawn(k) }, (_, i) => svg("circle", { cx: x(k), cy: y(k, i), r: 6, class: "unit" })));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": say("net.weights") }, lines, units);
}
