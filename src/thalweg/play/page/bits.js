// How far each rule's runs in this page are from Python's, as the build measured it.

function sameBits() {
  const found = data("bits");
  if (!found) return null;
  const { browser, steps, many, rules } = found;
  const precisions = ["float32", "float64"];
  const columns = [...precisions, ...precisions.map(precision => `many_${precision}`)];
  const cell = (rule, column) => {
    const far = rules[rule][column];
    return { text: far ? shown(far) : say("bits.same"), name: `bits-${rule}-${column}` };
  };
  const heads = [say("rule"), ...precisions, ...precisions.map(precision => say("bits.many", { precision, many })), say("bits.causes")];
  return h("details", { class: "absent", id: "same-bits" }, h("summary", {}, say("bits.title")),
    h("p", { class: "about" }, say("bits.about", { browser, steps, many })),
    table(say("bits.title"), heads, Object.keys(rules).filter(rule => RULES[rule]).map(rule => [
      ruleName(rule), ...columns.map(column => cell(rule, column)), rules[rule].causes.map(cause => say(`bits.cause.${cause}`)).join(say("comma")),
    ])));
}
