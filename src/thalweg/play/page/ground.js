// The ground under a race: bands and contour lines of a surface, drawn once and kept as a bitmap.

// So much of the picture lies under each contour: close together at the bottom, where paths end.
const SHARES = [0.002, 0.008, 0.02, 0.045, 0.08, 0.13, 0.19, 0.26, 0.34, 0.43, 0.53, 0.63, 0.73, 0.83, 0.92];

// Where a rectangle of numbers lies on a canvas, and back.
function frameOf([[left, right], [bottom, top]], width, height) {
  return {
    width, height,
    x: value => ((value - left) / (right - left)) * width,
    y: value => height - ((value - bottom) / (top - bottom)) * height,
    point: (x, y) => [left + (x / width) * (right - left), bottom + ((height - y) / height) * (top - bottom)],
  };
}

function heights(value, frame, columns, rows) {
  const found = new Float64Array(columns * rows);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++)
    found[row * columns + column] = value(frame.point((column / (columns - 1)) * frame.width, (row / (rows - 1)) * frame.height));
  return found;
}

function levelsOf(values) {
  const sorted = Float64Array.from(values.filter(Number.isFinite)).sort();
  if (!sorted.length) return [];
  const found = SHARES.map(share => sorted[Math.floor(share * (sorted.length - 1))]);
  return [...new Set(found)].filter(level => level > sorted[0] && level < sorted[sorted.length - 1]);
}

const groundCache = new Map();

// A canvas with the ground, for this surface, size and theme.
function ground(key, value, frame, scale) {
  const name = `${key}|${frame.width}|${frame.height}|${scale}|${ink("low")}`;
  if (!groundCache.has(name)) {
    if (groundCache.size > 12) groundCache.delete(groundCache.keys().next().value);
    groundCache.set(name, drawGround(value, frame, scale));
  }
  return groundCache.get(name);
}

function drawGround(value, frame, scale) {
  const columns = Math.round(frame.width / 2), rows = Math.round(frame.height / 2);
  const values = heights(value, frame, columns, rows);
  const levels = levelsOf(values);
  const small = new OffscreenCanvas(columns, rows);
  const image = new ImageData(columns, rows);
  const low = rgb(ink("low")), high = rgb(ink("high"));
  const shades = Array.from({ length: levels.length + 1 }, (_, k) => mixed(low, high, levels.length ? k / levels.length : 1));
  values.forEach((each, place) => {
    let band = 0;
    while (band < levels.length && !(each < levels[band])) band++;
    image.data.set([...shades[band], 255], place * 4);
  });
  small.getContext("2d").putImageData(image, 0, 0);
  const canvas = new OffscreenCanvas(Math.round(frame.width * scale), Math.round(frame.height * scale));
  const pen = canvas.getContext("2d");
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  pen.scale(scale, scale);
  pen.strokeStyle = ink("contour");
  pen.lineWidth = 0.8;
  for (const level of levels) {
    pen.beginPath();
    contour(values, columns, rows, level, (x, y) => [(x / (columns - 1)) * frame.width, (y / (rows - 1)) * frame.height], pen);
    pen.stroke();
  }
  return canvas;
}

// Marching squares: the line where the grid's values cross a level.
function contour(values, columns, rows, level, onto, pen) {
  for (let row = 0; row + 1 < rows; row++) for (let column = 0; column + 1 < columns; column++) {
    const at = row * columns + column;
    const a = values[at], b = values[at + 1], c = values[at + columns + 1], d = values[at + columns];
    const above = (a > level) + (b > level) + (c > level) + (d > level);
    if (above === 0 || above === 4) continue;
    const cuts = [];
    if (a > level !== b > level) cuts.push([column + (level - a) / (b - a), row]);
    if (b > level !== c > level) cuts.push([column + 1, row + (level - b) / (c - b)]);
    if (d > level !== c > level) cuts.push([column + (level - d) / (c - d), row + 1]);
    if (a > level !== d > level) cuts.push([column, row + (level - a) / (d - a)]);
    for (let k = 0; k + 1 < cuts.length; k += 2) {
      pen.moveTo(...onto(...cuts[k]));
      pen.lineTo(...onto(...cuts[k + 1]));
    }
  }
}
