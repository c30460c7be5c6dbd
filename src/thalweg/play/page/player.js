// Play, pause, one step on, one step back, how fast: for whatever goes by steps.

const SPEEDS = [5, 15, 40, 100, 300];

function playOrPause(button, playing) {
  button.dataset.playing = playing;
  fill(button, icon(playing ? "pause" : "play"), say(playing ? "player.pause" : "player.play"));
}

// on(at): show step `at`, a whole number. ended(at): it stands still there.
function player({ last, at, speed, on, ended, onspeed }) {
  const own = { at: Math.min(at, last), last, speed, timer: 0, seen: 0 };
  const range = h("input", { type: "range", min: 0, max: last, value: own.at, "aria-label": say("player.step"), "data-control": "at", oninput: () => { pause(); move(+range.value); } });
  const count = h("output", { class: "count" });
  const toggleButton = button("", () => (own.timer ? pause() : play()), { class: "primary", "data-action": "play" });
  const node = h("div", { class: "player", role: "group", "aria-label": say("player.group") },
    iconButton("first", say("player.first"), () => { pause(); move(0); }),
    iconButton("back", say("player.back"), () => { pause(); move(own.at - 1); }, { "data-action": "back" }),
    toggleButton,
    iconButton("forward", say("player.forward"), () => { pause(); move(own.at + 1); }, { "data-action": "forward" }),
    range, count,
    choice(say("player.speed"), SPEEDS.map(each => [String(each), say("player.rate", { rate: each })]), String(speed), value => { own.speed = +value; onspeed(+value); }));

  function label() {
    if (toggleButton.dataset.playing !== String(own.timer !== 0)) playOrPause(toggleButton, own.timer !== 0);
    count.textContent = `${Math.floor(own.at)} / ${own.last}`;
    range.value = Math.floor(own.at);
    range.setAttribute("aria-valuetext", say("player.at", { at: Math.floor(own.at), last: own.last }));
  }
  function move(to) {
    own.at = Math.max(0, Math.min(own.last, to));
    label();
    on(Math.floor(own.at));
    if (!own.timer) ended(Math.floor(own.at));
  }
  function frame(now) {
    if (!own.timer) return;
    own.at = Math.min(own.last, own.at + ((now - own.seen) / 1000) * own.speed);
    own.seen = now;
    own.timer = requestAnimationFrame(frame);
    if (own.at >= own.last) pause();
    else { label(); on(Math.floor(own.at)); }
  }
  function play() {
    if (own.at >= own.last) { own.at = 0; on(0); }
    own.seen = performance.now();
    own.timer = requestAnimationFrame(frame);
    label();
  }
  function pause() {
    if (!own.timer) return;
    cancelAnimationFrame(own.timer);
    own.timer = 0;
    move(own.at);
  }
  label();
  return {
    node, play, pause,
    get at() { return Math.floor(own.at); },
    get playing() { return own.timer !== 0; },
    reset(next, to = next) { own.last = next; range.max = next; own.at = Math.min(to, next); label(); },
  };
}
