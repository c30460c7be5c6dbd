// The frame around the screens: tabs, language, theme, the link to copy; and how all begins.

let mounted = null; // what the current screen's mount gave back

const tabOf = name => byId(`tab-${name}`);

function theme() {
  const root = document.documentElement;
  if (state.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = state.theme;
  groundCache.clear();
  mounted?.theme?.();
}

// Put the current screen into the page. Everything it shows is made of `state`.
function mount() {
  mounted?.leave?.();
  const panel = byId("screen");
  panel.replaceChildren();
  panel.setAttribute("aria-labelledby", `tab-${state.screen}`);
  mounted = SCREENS[state.screen].mount(panel) ?? {};
  document.title = `${say(`tab.${state.screen}`)} · thalweg play`;
}

function fillFrame() {
  language = state.lang;
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  byId("motto").textContent = say("motto");
  byId("tabs").setAttribute("aria-label", say("tabs"));
  fill(byId("tabs"), ...Object.keys(SCREENS).map((name, place) => h("button", {
    type: "button", role: "tab", id: `tab-${name}`, "aria-selected": name === state.screen, "aria-controls": "screen",
    tabindex: name === state.screen ? 0 : -1, onclick: () => go(name), onkeydown: event => walk(event, place),
  }, say(`tab.${name}`))));
  fill(byId("tools"),
    button(say("copy"), copyLink, { id: "copy", class: "primary" }),
    choice(say("theme"), ["auto", "light", "dark"].map(name => [name, say(`theme.${name}`)]), state.theme,
      name => { state.theme = name; theme(); noteState(); }, { id: "theme" }),
    choice(say("language"), LANGUAGES.map(name => [name, WORDS[name].name]), state.lang,
      name => { state.lang = name; fillFrame(); mount(); byId("language").focus(); noteState(); }, { id: "language" }));
  fill(byId("foot"), h("p", {}, rich("foot")));
}

function go(name, focus = false) {
  state.screen = name;
  for (const tab of byId("tabs").children) {
    const mine = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", mine);
    tab.tabIndex = mine ? 0 : -1;
  }
  if (focus) tabOf(name).focus();
  tabOf(name).scrollIntoView({ block: "nearest", inline: "nearest" });
  mount();
  noteState();
}

function walk(event, place) {
  const names = Object.keys(SCREENS);
  const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: names.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  go(names[(to + names.length) % names.length], true);
}

async function copyLink() {
  mounted?.settle?.();
  writeHash();
  try {
    await navigator.clipboard.writeText(location.href);
  } catch { // no permission, as from a file: the old way
    const box = h("textarea", { readonly: true, class: "away" });
    box.value = location.href;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    byId("copy").focus();
  }
  byId("said").textContent = say("copied");
  byId("copy").textContent = say("copied.short");
  setTimeout(() => { byId("copy").textContent = say("copy"); byId("said").textContent = ""; }, 2500);
}

function begin() {
  readHash(location.hash);
  fillFrame();
  theme();
  mount();
  tabOf(state.screen).scrollIntoView({ block: "nearest", inline: "nearest" });
}

window.addEventListener("hashchange", begin);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
begin();
document.documentElement.classList.add("drawn");
