// Answering works without this file. It adds keys, the time that an answer took, and answers that outlast a lost
// network: each carries the key that the server made for it, so that it counts once however often it is sent.
"use strict";

const LONGEST_WAIT_MS = 15000;
const RETRIED = [502, 503, 504];
const root = document.documentElement;
const status_ = document.getElementById("status");
// Its texts, in the language of the study.
const words = status_.dataset;

// When all pictures of the question were on the screen; null before.
let shownAt = null;
let isSending = false;

const page = () => document.getElementById("page");
const pictures = (within) => [...within.querySelectorAll(".shown img")];
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function say(text, isSeen = false) {
  status_.classList.toggle("unseen", !isSeen);
  status_.textContent = text;
}

/** A question counts as displayed once its pictures are decoded and painted. */
async function display() {
  shownAt = null;
  const shown = page();
  const loaded = await Promise.allSettled(pictures(shown).map((image) => image.decode()));
  if (loaded.some((each) => each.status === "rejected")) {
    say(words.noPicture, true);
  }
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      shownAt = performance.now();
      shown.dataset.shown = "";
    }),
  );
}

/** Puts the page that the server sent in place of the present one, when its pictures are there. */
async function replace(text, address) {
  const received = new DOMParser().parseFromString(text, "text/html");
  await Promise.allSettled(
    pictures(received).map((image) => {
      const loading = new Image();
      loading.src = image.getAttribute("src");
      return loading.decode();
    }),
  );
  page().replaceWith(document.adoptNode(received.getElementById("page")));
  document.title = received.title;
  history.replaceState(null, "", address);
  scrollTo(0, 0);
  arrive();
  // The heading has the focus and is read; how far one is stands apart from it. A page that the browser loads itself is
  // announced by its title, which tells that too.
  say(page().querySelector(".notice")?.textContent ?? page().querySelector(".count")?.textContent ?? "");
}

function arrive() {
  isSending = false;
  keysAre(keysOn());
  page().querySelector("h1")?.focus({ preventScroll: true });
  display();
}

async function send(form, button) {
  isSending = true;
  page().classList.add("waiting");
  const body = new URLSearchParams(new FormData(form));
  if (button?.name) {
    body.set(button.name, button.value);
  }
  if (body.has("milliseconds") && shownAt !== null) {
    body.set("milliseconds", String(Math.round(performance.now() - shownAt)));
  }
  for (let wait = 1000; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    try {
      const signal = AbortSignal.timeout(LONGEST_WAIT_MS);
      // The answer to an answer is the next question itself.
      const headers = { Prefer: "return=representation" };
      const response = await fetch(form.action, { method: "POST", body, headers, signal });
      const address = response.headers.get("Content-Location") ?? response.url;
      if (response.headers.has("refresh")) {
        // Only a page that the browser itself loads is loaded again after a while.
        isSending = false;
        location.assign(address);
        return;
      }
      if (!RETRIED.includes(response.status)) {
        await replace(await response.text(), address);
        return;
      }
    } catch {
      // The network is away, or the server took too long: the same answer is sent again.
    }
    say(words.noNetwork, true);
    await Promise.race([sleep(wait), new Promise((resolve) => addEventListener("online", resolve, { once: true }))]);
  }
}

addEventListener("submit", (event) => {
  if (!event.target.matches("[data-swap]")) {
    return;
  }
  event.preventDefault();
  if (!isSending) {
    send(event.target, event.submitter);
  }
});

addEventListener("beforeunload", (event) => {
  if (isSending) {
    event.preventDefault();
  }
});

// Speech control and some screen readers type letters of their own: people can switch the keys off.

const keysOn = () => localStorage.getItem("keys") !== "off";

function keysAre(on) {
  root.classList.toggle("keys-off", !on);
  const button = page().querySelector("[data-keys]");
  if (button) {
    button.textContent = on ? words.keysOff : words.keysOn;
  }
}

addEventListener("keydown", (event) => {
  const isCommand = event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing;
  if (isCommand || isSending || !keysOn() || event.target.closest("input")) {
    return;
  }
  const button = [...page().querySelectorAll("[data-key]")].find((each) => each.dataset.key === event.key.toLowerCase());
  // A key that is pressed before the picture is there was meant for the one before.
  if (button && shownAt !== null) {
    event.preventDefault();
    button.click();
  }
});

addEventListener("click", async (event) => {
  if (event.target.closest("[data-keys]")) {
    localStorage.setItem("keys", keysOn() ? "off" : "on");
    keysAre(keysOn());
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const source = document.getElementById(copy.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
      say(words.copied, true);
    } catch {
      // Pages without TLS may not write to the clipboard.
      getSelection().selectAllChildren(source);
      source.select?.();
      say(words.selected, true);
    }
    setTimeout(() => say(""), 3000);
  }
});

root.classList.add("js");
arrive();
