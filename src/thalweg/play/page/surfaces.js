// A surface with the constants that were chosen for it.

const surfaceName = name => say(SURFACES[name].title_key);
const surfaceOptions = () => Object.keys(SURFACES).map(name => [name, surfaceName(name)]);

const constantsOf = (name, chosen) => Object.fromEntries(SURFACES[name].constants.map(each => [each.name, chosen[each.name] ?? each.default]));

// A start is named, or two numbers.
function startOf(name, start) {
  const surface = SURFACES[name];
  const numbers = start.split(",").map(Number);
  if (start !== "" && numbers.every(Number.isFinite) && numbers.length === surface.dimension) return numbers;
  const named = surface.starts.find(each => each.name === start) ?? surface.starts[0];
  return [...named.point];
}

// The named start that lies nearest: fair learning rates were measured from there.
function nearestStart(name, point) {
  const away = each => Math.hypot(...each.point.map((part, k) => part - point[k]));
  return SURFACES[name].starts.reduce((best, each) => (away(each) < away(best) ? each : best));
}

function fairRate(name, point, rule) {
  const start = nearestStart(name, point);
  return SURFACES[name].best?.[start.name]?.[rule]?.lr ?? null;
}

// A surface's height, in double precision, as {value(point)}.
const heightOf = (surface, constants) => ({ value: field({ surface, constants, precision: "f64" }).value });

function distance(name, point) {
  const { optima } = SURFACES[name];
  if (!optima.length) return NaN;
  return Math.min(...optima.map(each => Math.hypot(...each.map((part, k) => part - point[k]))));
}

const place = point => `(${Array.from(point, part => shown(part)).join(", ")})`;
