// What the page says, in the reader's language: words.en.json and words.zh.json have equal keys.

const WORDS = data("words");
const LANGUAGES = Object.keys(WORDS);
let language = "en";

// The text of a key, with its {gaps} filled.
function say(key, values = {}) {
  const text = WORDS[language][key];
  if (text === undefined) throw new Error(`no words for ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

const sayIfKnown = (key, otherwise) => WORDS[language][key] ?? otherwise;

// A text with `code` and [links](#...) in it, as nodes.
function rich(key, values) {
  return say(key, values).split(/(`[^`]+`|\[[^\]]+\]\([^)]+\))/).map(part => {
    if (part.startsWith("`")) return h("code", {}, part.slice(1, -1));
    const link = part.match(/^\[([^\]]+)\]\(([^)]+)\)$/);
    return link ? h("a", { href: link[2] }, link[1]) : part;
  });
}
