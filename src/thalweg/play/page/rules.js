// Rules as the page names and sets them. What a rule computes comes from the catalogue; nothing of it stands here.

const ruleName = rule => sayIfKnown(`rule.${rule}`, RULES[rule].title.split(": ")[0] || rule);
const playable = () => Object.keys(RULES).filter(rule => !RULES[rule].missing);
const ruleOptions = () => playable().map(rule => [rule, ruleName(rule)]);

// A racer in a few words: its rule and what was set by hand.
function racerName({ rule, settings }) {
  const set = Object.entries(settings).filter(([name]) => name !== "lr");
  const text = value => (Array.isArray(value) ? value.map(each => shown(each)).join("/") : typeof value === "number" ? shown(value) : value);
  return ruleName(rule) + (set.length ? ` (${set.map(([name, value]) => `${name} ${text(value)}`).join(", ")})` : "");
}

const hyperparameter = (rule, name) => RULES[rule].hyperparameters.find(each => each.name === name);
const defaultOf = (rule, name) => (name === "weight_decay" ? RULES[rule].weight_decay ?? 0 : hyperparameter(rule, name).default);
const settingOf = (racer, name) => racer.settings[name] ?? defaultOf(racer.rule, name);

// The range of a slider: what the lab searches, and a hundredfold beyond it.
function reach({ name, kind, default: value, minimum, maximum, search }) {
  if (name === "lr") {
    const [low, high] = search ?? [1e-4, 1e-1];
    return { low: Math.min(low, 1e-4) / 10, high: Math.max(high * 10, 10), scale: "log", minimum: 0, maximum: null };
  }
  if (kind === "epsilon") return { low: 1e-12, high: 1, scale: "log", minimum: minimum ?? 0, maximum: null };
  const average = kind === "betas" || name === "momentum" || (value > 0.5 && value < 1); // what is left of the past, a step
  if (average) return { low: 0, high: 0.99999, scale: "one_minus", minimum: 0, maximum: kind === "betas" ? 0.9999999 : maximum ?? null };
  if (search) return { low: search[0] / 10, high: search[1] * 10, scale: "log", minimum: minimum ?? null, maximum: maximum ?? null };
  const far = Math.abs(value) > 10, near = value > 0 && value < 0.01;
  if (far || near) return { low: far ? 1 : value / 1000, high: far ? Math.abs(value) * 100 : Math.max(1, value * 1000), scale: "log", minimum: minimum ?? null, maximum: maximum ?? null };
  const low = Number.isFinite(minimum) ? minimum : Math.min(0, 2 * value);
  const high = Number.isFinite(maximum) ? maximum : Math.max(1, 3 * value, low + 1);
  return { low, high, scale: "linear", minimum: minimum ?? null, maximum: maximum ?? null };
}

// Controls for one hyperparameter: a number, a flag, or several numbers side by side.
function setting(racer, each, change) {
  const value = settingOf(racer, each.name);
  if (typeof value === "boolean") return toggle(each.name, value, flag => change(each.name, flag));
  if (!Array.isArray(value)) return slider(each.name, { ...reach(each), value, name: each.name }, number => change(each.name, number));
  return value.map((_, place) => slider(`${each.name}[${place}]`, { ...reach({ ...each, default: each.default[place] }), value: value[place], name: `${each.name}[${place}]` }, number => {
    const next = [...settingOf(racer, each.name)];
    next[place] = number;
    change(each.name, next);
  }));
}

// All settings of a racer but its learning rate.
function moreSettings(racer, change) {
  const others = RULES[racer.rule].hyperparameters.filter(each => each.name !== "lr" && each.default !== null);
  const decays = RULES[racer.rule].decay && RULES[racer.rule].decay !== "own";
  return h("div", { class: "settings" },
    others.map(each => setting(racer, each, change)),
    decays && slider("weight_decay", { low: 0, high: 0.5, maximum: null, value: settingOf(racer, "weight_decay"), name: "weight_decay" }, number => change("weight_decay", number)));
}

// Sets a racer's setting; one that is the rule's own again is not written down.
function change(racer, name, value) {
  const settings = { ...racer.settings, [name]: value };
  if (name !== "lr" && String(value) === String(defaultOf(racer.rule, name))) delete settings[name];
  return { ...racer, settings };
}

// What a rule is, in words: where it comes from and where it departs from the paper.
function about(rule) {
  const { title, source, departures } = RULES[rule];
  return h("p", { class: "about" }, `${title}. ${source}.`, departures ? ` ${departures}` : "");
}
