"""How the report looks and behaves: its style sheet and its one script."""

STYLE = """
:root{--ground:#fff;--sheet:#f5f7f9;--ink:#16202a;--soft:#55616e;--line:#d9dfe5;--accent:#0b6bcb;
 --better:#137a52;--equal:#1763ae;--worse:#b93613;--undecided:#55616e;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ground:#11161b;--sheet:#1a2128;--ink:#e8edf2;--soft:#a3afbb;--line:#303a44;
 --accent:#6bb3ff;--better:#4fd3a0;--equal:#7bb8f5;--worse:#ff8b66;--undecided:#a3afbb}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1320px;margin:0 auto;padding:28px 18px 80px}
header p{margin:0;color:var(--soft);font-size:14px}
h1{font-size:clamp(18px,2.1vw,24px);line-height:1.35;margin:6px 0 18px;font-weight:640;text-wrap:pretty}
h2{font-size:19px;margin:44px 0 4px}
h2+p{margin:0 0 10px;color:var(--soft);font-size:14.5px;max-width:78ch}
pre{background:var(--sheet);border:1px solid var(--line);border-radius:8px;padding:12px 14px;
 overflow-x:auto;margin:0;
 font:14px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.paste{display:flex;gap:8px;align-items:stretch}.paste pre{flex:1;min-width:0}
button{font:inherit;font-size:14px;color:var(--ink);background:var(--sheet);border:1px solid var(--line);
 border-radius:8px;padding:4px 12px;cursor:pointer}
button:hover,button:focus-visible{border-color:var(--accent)}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px;margin-top:16px}
table{border-collapse:collapse;width:100%;font-size:13px;white-space:nowrap;
 font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:7px 8px;border-bottom:1px solid var(--line)}
tbody tr:last-child td{border-bottom:0}
th{color:var(--soft);font-weight:560;background:var(--sheet)}
td:first-child,th:first-child{position:sticky;left:0;background:var(--ground);font-weight:560}
th:first-child{background:var(--sheet)}
.key{display:inline-block;width:20px;border-top:3px;vertical-align:middle;margin-right:8px}
.better{color:var(--better)}.equal,.leads{color:var(--equal)}
.worse,.failed{color:var(--worse)}.undecided,.not{color:var(--undecided)}
.chips{position:sticky;top:0;z-index:5;background:var(--ground);padding:10px 0;
 display:flex;flex-wrap:wrap;gap:6px;
 border-bottom:1px solid var(--line)}
.chips button{padding:2px 10px;font-size:13px}.chips button[aria-pressed=false]{opacity:.45}
.chips .all{border-style:dashed}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:12px 24px}
.pair>div{min-width:0}
.figure{min-width:0;width:100%}
ul{padding-left:20px;max-width:90ch}li{margin:4px 0}
details{margin-top:12px}summary{cursor:pointer;font-weight:560}
details .scroll{max-height:480px;overflow:auto}
@media(max-width:640px){.chips{flex-wrap:nowrap;overflow-x:auto}.chips button{flex:none}}
"""

SCRIPT = """
const chips = [...document.querySelectorAll(".chips [data-optimizer]")];
const models = () => Bokeh.documents.flatMap(doc => [...doc._all_models.values()]);
const isOn = chip => chip.getAttribute("aria-pressed") === "true";
function mute() {
  const pressed = chips.filter(isOn).map(chip => "optimizer:" + chip.dataset.optimizer);
  for (const model of models())
    if (String(model.name).startsWith("optimizer:")) model.muted = !pressed.includes(model.name);
}
function press(chip, on) { chip.setAttribute("aria-pressed", on); }
for (const chip of chips) chip.onclick = () => { press(chip, !isOn(chip)); mute(); };
document.getElementById("top").onclick = () => { chips.forEach((c, i) => press(c, i < 5)); mute(); };
document.getElementById("all").onclick = () => { chips.forEach(c => press(c, true)); mute(); };
document.getElementById("copy").onclick = async event => {
  await navigator.clipboard.writeText(document.getElementById("line").textContent);
  event.target.textContent = "copied";
};
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  const colours = getComputedStyle(document.documentElement);
  const ink = colours.getPropertyValue("--soft").trim();
  for (const model of models())
    if (String(model.type).endsWith("Axis")) 
      model.axis_label_text_color = model.major_label_text_color = ink;
}
dark.addEventListener("change", paint);
(function ready() {
  if (window.Bokeh && Bokeh.documents.length) { paint(); mute(); } else setTimeout(ready, 30);
})();
"""
