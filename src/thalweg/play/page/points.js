// Points of two classes in the square from -1 to 1: four kinds to learn on, or the reader's own.

// A small generator of uniform numbers that a seed fixes (mulberry32).
function uniform(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const gaussian = next => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

const CLOUDS = {
  circle(next) {
    const inner = next() < 0.5, angle = 2 * Math.PI * next();
    const radius = inner ? 0.4 * Math.sqrt(next()) : 0.6 + 0.3 * next();
    return [radius * Math.cos(angle), radius * Math.sin(angle), inner ? 1 : 0];
  },
  xor(next) {
    const [x, y] = [2 * next() - 1, 2 * next() - 1].map(part => 0.9 * part + 0.08 * Math.sign(part));
    return [x, y, x * y > 0 ? 1 : 0];
  },
  moons(next) {
    const upper = next() < 0.5, angle = Math.PI * next();
    const [x, y] = upper ? [Math.cos(angle) - 0.5, Math.sin(angle) - 0.25] : [0.5 - Math.cos(angle), 0.25 - Math.sin(angle)];
    return [0.6 * x, 0.6 * y, upper ? 1 : 0];
  },
  spiral(next) {
    const arm = next() < 0.5 ? 1 : 0, share = 0.05 + 0.95 * next(), angle = 1.75 * 2 * Math.PI * share + arm * Math.PI;
    return [0.92 * share * Math.cos(angle), 0.92 * share * Math.sin(angle), arm];
  },
};

function cloud(kind, count, noise, seed) {
  const next = uniform(seed + 1);
  return Array.from({ length: count }, () => {
    const [x, y, label] = CLOUDS[kind](next);
    return [x + noise * gaussian(next), y + noise * gaussian(next), label];
  });
}

// Half to learn from, half to judge by.
const halves = points => [points.filter((_, k) => k % 2 === 0), points.filter((_, k) => k % 2 === 1)];

// Lines of x, y, class (0 or 1; a heading is passed over), brought into the square. An Error says which line is wrong.
function fromCSV(text) {
  const lines = text.split(/\r?\n/).map((line, k) => [line.trim(), k + 1]).filter(([line]) => line);
  if (lines.length && /[a-z]/i.test(lines[0][0].replace(/e[+-]?\d/gi, ""))) lines.shift();
  const rows = lines.map(([line, number]) => {
    const parts = line.split(/[,;\t]/).map(part => Number(part.trim() || NaN));
    if (parts.length !== 3 || !parts.every(Number.isFinite)) throw new Error(say("net.csv.wrong", { line: number, text: line.slice(0, 40) }));
    return parts;
  });
  const labels = [...new Set(rows.map(row => row[2]))].sort((a, b) => a - b);
  if (labels.length !== 2) throw new Error(say("net.csv.classes", { count: labels.length }));
  if (rows.length < 4 || rows.length > 1000) throw new Error(say("net.csv.count", { count: rows.length }));
  const most = [0, 1].map(k => rows.reduce(([low, high], row) => [Math.min(low, row[k]), Math.max(high, row[k])], [Infinity, -Infinity]));
  const fit = (value, [low, high]) => (high > low ? -0.9 + (1.8 * (value - low)) / (high - low) : 0);
  return rows.map(([x, y, label]) => [Number(fit(x, most[0]).toFixed(2)), Number(fit(y, most[1]).toFixed(2)), labels.indexOf(label)]);
}
