// What the page shows, all of it, and its way into the address and back: a link is an exact experiment.
//
//   #race?surface=saddle&racers=adam(lr=0.1);radam(lr=0.1)&maps.kind=basins&lang=zh
//
// Fields that are as they were at first are left out. Another screen's fields have its name in front.

const CODECS = {
  text: { write: String, read: String },
  number: { write: String, read: text => numberOr(text) },
  flag: { write: value => (value ? "1" : "0"), read: text => text === "1" },
  numbers: { write: value => value.join(","), read: text => text.split(",").map(numberOr) },
  named: { // {condition: 100, rotation: 30}
    write: value => Object.entries(value).map(([name, number]) => `${name}:${number}`).join(","),
    read: text => Object.fromEntries(text.split(",").filter(Boolean).map(part => {
      const [name, number] = part.split(":");
      return [name, numberOr(number)];
    })),
  },
  racer: { write: racer => written(racer), read: text => readRacer(text) },
  racers: {
    write: racers => racers.map(written).join(";"),
    read: text => text.split(";").slice(0, MOST_RACERS).map(readRacer),
  },
  points: { // x, y, class in hundredths, three by three
    write: points => points.map(point => point.map((part, k) => (k < 2 ? Math.round(part * 100) : part)).join(".")).join("_"),
    read: text => text.split("_").filter(Boolean).map(part => part.split(".").map((each, k) => (k < 2 ? numberOr(each) / 100 : numberOr(each)))),
  },
};

function numberOr(text) {
  const number = Number(text);
  if (text === "" || text === undefined || Number.isNaN(number)) throw new Error(`not a number: ${text}`);
  return number;
}

// adam(lr=0.1,betas=0.9/0.99): settings that are not named are the rule's own.
function written({ rule, settings }) {
  const text = value => (Array.isArray(value) ? value.join("/") : String(value));
  const parts = Object.entries(settings).map(([name, value]) => `${name}=${text(value)}`);
  return parts.length ? `${rule}(${parts.join(",")})` : rule;
}

function readRacer(text) {
  const [, rule, inside] = text.match(/^([\w .+-]+)(?:\((.*)\))?$/) ?? [];
  if (!among(RULES)(rule) || RULES[rule].missing) throw new Error(`no such racer: ${text}`);
  const settings = {};
  for (const part of (inside ?? "").split(",").filter(Boolean)) {
    const [name, value] = part.split("=");
    if (value === "true" || value === "false") settings[name] = value === "true";
    else settings[name] = value.includes("/") ? value.split("/").map(numberOr) : numberOr(value);
    if (!fits(settings[name], firstOf(rule, name))) throw new Error(`no such setting: ${part}`);
    if (![settings[name]].flat().every(each => inRange(each, rule, name))) throw new Error(`outside its range: ${part}`);
  }
  return { rule, settings };
}

// A rule's own default says what kind a setting is, and how many numbers it has; Prodigy's infinite one is null.
const firstOf = (rule, name) => ({ weight_decay: 0, maximize: false, cautious: false }[name] ?? hyperparameter(rule, name).default ?? 0);
// As the optimizer's constructor would take it; infinite only what is so at first (null).
function inRange(value, rule, name) {
  if (typeof value === "boolean") return true;
  const { minimum = 0, maximum = null, below = false, default: first = 0 } = hyperparameter(rule, name) ?? {}; // weight_decay's
  const inside = value >= (minimum ?? -Infinity) && value <= (maximum ?? Infinity) && !(below && value === maximum);
  return inside && (Number.isFinite(value) || first === null);
}
const fits = (value, first) => typeof value === typeof first && value.length === first.length;

const SCREENS = {}; // by name, in the order of their files: {fields, mount}
const state = { screen: "race", lang: "en", theme: "auto" };
const GENERAL = { lang: "text", theme: "text" };
const FIRST = { lang: "en", theme: "auto" };

// A screen says which fields it has (codec, first value, and a test of what a link may hold), and how it is put into the page.
function addScreen(name, fields, mount) {
  SCREENS[name] = { fields, mount };
  state[name] = {};
  for (const [field, [, first]] of Object.entries(fields)) state[name][field] = structuredClone(first);
}

function hashOf() {
  const parts = [];
  for (const [name, { fields }] of Object.entries(SCREENS)) {
    const front = name === state.screen ? "" : `${name}.`;
    for (const [field, [codec, first]] of Object.entries(fields)) {
      const { write } = CODECS[codec];
      const text = write(state[name][field]);
      if (text !== write(first)) parts.push(`${front}${field}=${escaped(text)}`);
    }
  }
  for (const field of Object.keys(GENERAL)) if (state[field] !== FIRST[field]) parts.push(`${field}=${escaped(state[field])}`);
  return `#${state.screen}${parts.length ? "?" : ""}${parts.join("&")}`;
}

// Addresses stay readable: what is allowed in a hash is left as it is.
const escaped = text => encodeURIComponent(text).replace(/%(2C|2F|3A|3B|3D|40)/g, decodeURIComponent);

function readHash(hash) {
  const [place, query = ""] = hash.replace(/^#/, "").split("?");
  for (const [name, { fields }] of Object.entries(SCREENS))
    for (const [field, [, first]] of Object.entries(fields)) state[name][field] = structuredClone(first);
  Object.assign(state, FIRST, { screen: among(SCREENS)(place) ? place : "race" });
  for (const part of query.split("&").filter(Boolean)) {
    const at = part.indexOf("=");
    const path = part.slice(0, at).split(".");
    try {
      const text = decodeURIComponent(part.slice(at + 1));
      if (path.length === 1 && among(GENERAL)(path[0])) state[path[0]] = text;
      else {
        const [name, field] = path.length === 2 ? path : [state.screen, path[0]];
        const [codec, , allowed = () => true] = SCREENS[name].fields[field];
        const value = CODECS[codec].read(text);
        if (allowed(value)) state[name][field] = value;
      }
    } catch { /* a link of another version, or mistyped: that field stays as it was at first */ }
  }
  if (!LANGUAGES.includes(state.lang)) state.lang = "en";
}

// Browsers limit how often an address may be set: it follows a quarter of a second later.
let later = 0;
function noteState() {
  clearTimeout(later);
  later = setTimeout(writeHash, 250);
}

function writeHash() {
  clearTimeout(later);
  if (location.hash !== hashOf()) history.replaceState(null, "", hashOf());
}
