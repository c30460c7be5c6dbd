// What cannot race, with the reason.
function absent() {
  const missing = Object.values(RULES).filter(rule => rule.missing);
  return missing.length > 0 && h("details", { class: "absent" }, h("summary", {}, say("cards.missing", { count: missing.length })),
    h("ul", {}, missing.map(rule => h("li", { "data-missing": rule.name }, h("b", {}, ruleName(rule.name)), ": ", rule.missing))));
}

// The racers, a card each: its rule, its learning rate, the rest behind a fold; and a way to add one.

// view.racers is changed in place; `rateOf(racer, view)` tells the learning rate and where it is from, `anew()` runs the race.
function racerCards(box, view, { rateOf, anew }) {
  const open = new Set(); // folds stay open while settings change

  function put(place, racer, rebuild = false) {
    view.racers[place] = racer;
    anew();
    if (rebuild) layOut();
  }

  function rate(racer, place) {
    const { lr, from } = rateOf(racer, view);
    if (from === "none") return h("p", { class: "about" }, say("cards.no_lr"));
    if (from === "shared") return h("p", { class: "about" }, say("cards.shared", { lr: shown(lr) }));
    const badge = h("span", { class: "badge" });
    const back = button(say("cards.back"), () => {
      const settings = { ...view.racers[place].settings };
      delete settings.lr;
      put(place, { ...racer, settings }, true);
    }, { class: "quiet" });
    const mark = source => { badge.textContent = say(`cards.${source}`); back.hidden = source !== "own"; };
    mark(from);
    return h("div", { class: "rate" },
      slider(say("cards.lr", { name: ruleName(racer.rule) }), { ...reach(hyperparameter(racer.rule, "lr")), value: lr, name: `${racer.rule}-lr` },
        number => { mark("own"); put(place, change(view.racers[place], "lr", number)); }),
      badge, back);
  }

  function card(racer, place) {
    const name = ruleName(racer.rule);
    return h("section", { class: "card", "aria-label": name, "data-racer": racer.rule },
      h("div", { class: "top" }, swatch(look(place)),
        choice(say("cards.rule", { place: place + 1 }), ruleOptions(), racer.rule, rule => put(place, { rule, settings: {} }, true), { class: "rule" }),
        view.racers.length > 1 && iconButton("remove", say("cards.remove", { name }), () => { view.racers.splice(place, 1); open.clear(); anew(); layOut(); }, { class: "quiet" })),
      rate(racer, place),
      h("details", { open: open.has(place), ontoggle: event => (event.target.open ? open.add(place) : open.delete(place)) },
        h("summary", {}, say("cards.more")),
        moreSettings(racer, (setting, value) => put(place, change(view.racers[place], setting, value))),
        about(racer.rule)));
  }

  function layOut() {
    const focus = box.contains(document.activeElement) ? document.activeElement.className : null;
    fill(box, ...view.racers.map(card), view.racers.length < MOST_RACERS ? h("div", { class: "card add" },
      choice(say("cards.add"), [["", say("cards.choose")], ...ruleOptions()], "", rule => {
        if (rule) { view.racers.push({ rule, settings: {} }); anew(); layOut(); }
      }, { "data-control": "add" })) : "");
    if (focus !== null) box.querySelector("select, button")?.focus({ preventScroll: true });
  }
  layOut();
}
