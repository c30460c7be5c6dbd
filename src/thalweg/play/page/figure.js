// A picture with what every reader gets: a heading, a sentence made of what it shows, and its numbers as a table.

function figure(name, { title, about, controls, picture, legend: key }) {
  const sentence = h("p", { class: "sentence" });
  const rows = h("div");
  const node = h("figure", { id: `figure-${name}` },
    h("figcaption", {}, title && h("h2", {}, title), about && h("p", { class: "about" }, about)),
    controls?.length ? h("div", { class: "panel options" }, controls) : null, key, picture, sentence,
    h("details", { class: "numbers" }, h("summary", {}, say("numbers")), rows));
  return {
    node,
    // The sentence is what the picture shows; it describes it for those who cannot see it.
    tell(text, ...tables) {
      fill(sentence, text);
      fill(rows, ...tables);
      const drawn = node.querySelector("canvas, svg[role=img]");
      if (drawn) drawn.setAttribute("aria-label", `${title ?? ""} ${text}`.trim());
    },
  };
}

// Steps worth a row of a table: the first, round ones, the last.
function telling(last) {
  const found = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].filter(step => step < last);
  return [...found, last];
}
