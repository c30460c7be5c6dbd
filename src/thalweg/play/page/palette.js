// How a racer looks: a color, a dash and a mark, so that no two are told apart by color alone.
// The eight colors are those of the lab's reports: 3:1 and more on both grounds, far apart for the color-blind too.

const COLORS = ["#1a95fe", "#cd8309", "#0a8972", "#7d2cfc", "#fd1787", "#bc3d0a", "#9c78bc", "#ac1fb8"];
const DASHES = [[], [9, 4], [2.5, 3.5], [10, 3, 2.5, 3], [5, 3], [14, 4], [1.5, 5], [8, 3, 2, 3, 2, 3]];
const MARKS = ["circle", "square", "triangle", "diamond", "down", "plus", "cross", "star"];
const MOST_RACERS = COLORS.length;

const look = place => ({
  color: COLORS[place % COLORS.length],
  dash: DASHES[place % DASHES.length],
  mark: MARKS[place % MARKS.length],
});

// The outline of a mark around a point, for canvas and SVG alike: a list of corners, or null for the circle.
function corners(mark, x, y, r) {
  const ring = (count, turn, radii) => Array.from({ length: count }, (_, k) => {
    const angle = turn + (2 * Math.PI * k) / count;
    const radius = radii[k % radii.length] * r;
    return [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
  });
  const up = -Math.PI / 2;
  switch (mark) {
    case "square": return ring(4, Math.PI / 4, [1.25]);
    case "triangle": return ring(3, up, [1.35]);
    case "down": return ring(3, -up, [1.35]);
    case "diamond": return ring(4, up, [1.35]);
    case "star": return ring(10, up, [1.5, 0.65]);
    case "plus": return cross(x, y, r, 0);
    case "cross": return cross(x, y, r, Math.PI / 4);
    default: return null;
  }
}

function cross(x, y, r, turn) {
  const a = 0.42 * r, b = 1.3 * r;
  const points = [[a, -b], [a, -a], [b, -a], [b, a], [a, a], [a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a], [-a, -b]];
  return points.map(([u, v]) => [x + u * Math.cos(turn) - v * Math.sin(turn), y + u * Math.sin(turn) + v * Math.cos(turn)]);
}

// The swatch of a legend: line, dash and mark.
function swatch({ color, dash, mark }) {
  const points = mark && corners(mark, 17, 8, 4.2);
  return svg("svg", { class: "swatch", viewBox: "0 0 34 16", width: 34, height: 16, "aria-hidden": "true" },
    svg("line", { x1: 0, y1: 8, x2: 34, y2: 8, stroke: color, "stroke-width": 2.6, "stroke-dasharray": (dash ?? []).join(" ") }),
    mark && (points
      ? svg("polygon", { points: points.join(" "), fill: color })
      : svg("circle", { cx: 17, cy: 8, r: 4.4, fill: color })));
}

// A color of the style sheet, for canvases.
const ink = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const rgb = text => [1, 3, 5].map(place => parseInt(text.slice(place, place + 2), 16));
const mixed = (from, to, share) => from.map((part, k) => part + (to[k] - part) * share);
