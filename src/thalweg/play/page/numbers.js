// Numbers as people read them.

const MINUS = "−";
const signed = text => text.replace(/-/g, MINUS);

// Four digits or so, with an exponent only where a plain number would be long.
function shown(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : MINUS + "∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) {
    const [front, power] = value.toExponential(digits - 1).split("e");
    return signed(`${String(Number(front))}e${Number(power)}`);
  }
  return signed(String(Number(value.toPrecision(digits))));
}

// A whole number between these, as a test.
const counted = (low, high) => number => Number.isInteger(number) && number >= low && number <= high;
const among = table => name => Object.hasOwn(table, name); // of its own: not `constructor`
const under1 = number => number >= 0 && number < 1;

const percent = share => `${Math.round(share * 100)} %`;

const median = values => quantile(values, 0.5);

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return low + 1 < sorted.length ? sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]) : sorted[low];
}

// Round numbers that divide a range into about so many parts.
function ticks(low, high, about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(each => each * power).find(each => each >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

function powers(low, high, most) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / most));
  const found = [];
  for (let power = first; power <= last; power += stride) found.push(10 ** power);
  return found;
}
