// Sends an update image and shows what the board does with it. Without this script the plain form sends it.
"use strict";

const HEAD = 288; // bytes that say what a file is: esp_image_header_t and esp_app_desc_t, as in image.py
const SECTOR = 4096; // bytes
const POLL = 1000; // ms
const ANSWER = 5000; // ms that an answer may take
const SILENCE = 30000; // ms without news of the update after which its connection counts as broken
const PATIENCE = 90000; // ms: restart, Wi-Fi, and the 60 s that the self-test may take
const PHASES = {
  check: "Checking the file",
  write: "Writing",
  verify: "Checking what was written",
  commit: "Choosing the new version",
  restart: "Restarting",
};
const BUILD = "Choose the .bin file that kit.build() or `python -m kit build` makes.";

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
let isSending = false;

const isRunning = (progress) => progress?.ok && progress.phase !== "idle";

// Null where no answer of the board comes, as is normal while it restarts; a proxy then answers by itself.
async function ask(path, options = { signal: AbortSignal.timeout(ANSWER) }) {
  try {
    return await read(await fetch(path, options));
  } catch {
    return null;
  }
}

async function read(response) {
  const text = await response.text();
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const { ok, status } = response;
  if (status >= 500 && !isJson) return null;
  return { ...(isJson ? JSON.parse(text) : { message: text }), ok, status, at: Date.now() / 1000 };
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text; // a screen reader reads each change
}

function say(kind, cause, advice = "", link = "") {
  const strong = document.createElement("strong");
  strong.textContent = cause;
  const a = document.createElement("a");
  a.href = "./"; // relative, as all addresses here: a proxy may put something in front
  a.textContent = link;
  $("said").className = kind;
  $("said").replaceChildren(strong, ` ${advice} `, ...(link ? [a] : []));
  $("said").scrollIntoView({ block: "nearest" });
}

// What the board has written; what was sent only where nobody can ask.
function draw({ phase, written, size, isSent = false }) {
  $("run").hidden = false;
  $("bar").max = size || 1;
  $("bar").value = written;
  setText($("phase"), isSent ? "Sending" : PHASES[phase]);
  const share = size ? Math.floor((100 * written) / size) : 0;
  setText($("written"), `${share} % of ${Math.ceil(size / 1000)} kB${isSent ? " sent" : ""}`);
  const current = Object.keys(PHASES).indexOf(phase);
  [...$("steps").children].forEach((step, index) => {
    if (index === current) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
}

// The progress takes the place of the form, and the focus, which nothing hidden can keep.
function begin(progress) {
  draw(progress);
  setText($("travels"), "");
  $("form").hidden = true;
  $("run").focus();
}

// Say what is wrong; the form comes back for another try.
function stop(cause, advice = "", link = "") {
  const wasRunning = $("form").hidden;
  $("run").hidden = true;
  $("form").hidden = false;
  say("bad", cause, advice, link);
  if (wasRunning) ($("said").querySelector("a") ?? $("send")).focus({ preventScroll: true });
}

// As semver.org orders them; the board decides.
function isNewer(version, running) {
  const compare = (a, b) => a.localeCompare(b, "en", { numeric: true });
  const [[core, pre = ""], [oldCore, oldPre = ""]] = [version, running].map((v) => v.split("+")[0].split(/-(.*)/));
  return (compare(core, oldCore) || !pre - !oldPre || compare(pre, oldPre)) > 0;
}

// What image.py says of a file, before a byte of it travels: { cause, advice }, or { text, isNewer } where it is right.
async function judge(file, info) {
  if (!file.size) return { cause: "This file is empty.", advice: BUILD };
  let bytes;
  try {
    bytes = await file.slice(0, HEAD).arrayBuffer();
  } catch {
    return { cause: "This file cannot be read, or has changed since.", advice: "Choose it again." };
  }
  const head = new DataView(bytes);
  if (head.byteLength < HEAD || head.getUint8(0) !== 0xe9) {
    return { cause: "This is no app image: it is too short, or does not start with 0xE9.", advice: BUILD };
  }
  if (head.getUint32(0x20, true) !== 0xabcd5432) {
    const cause = "it has no app descriptor. A full firmware.bin starts with the bootloader instead.";
    return { cause: `This is no app image: ${cause}`, advice: BUILD };
  }
  const chip = head.getUint16(12, true);
  if (chip !== 0) return { cause: `This image is for another chip (id ${chip}), not for an ESP32.`, advice: BUILD };
  const space = info.free_sketch_space;
  if (file.size > space) {
    const advice = "Make the application smaller.";
    return { cause: `This image has ${file.size} bytes, and the slot takes ${space}.`, advice };
  }
  const text = (start, length) => new TextDecoder().decode(bytes.slice(start, start + length)).split("\0")[0];
  const [version, project, time, date] = [text(0x30, 32), text(0x50, 32), text(0x70, 16), text(0x80, 16)];
  const newer = isNewer(version, info.version);
  const note = newer ? "" : ` This is not newer than the running ${info.version}.`;
  return { text: `Version ${version} of ${project}, built ${date} ${time}.${note}`, isNewer: newer };
}

// Show what the chosen file is. Returns what GET /info said, nothing where the file cannot be sent.
async function look() {
  const [file] = $("file").files;
  $("about").textContent = "";
  $("older").hidden = true;
  $("said").replaceChildren();
  if (!file) return;
  const info = await ask("info");
  if (file !== $("file").files[0]) return; // another one was chosen meanwhile
  if (!info?.ok) return stop("The board does not answer.", "Check its power and its Wi-Fi, and try again.");
  const found = await judge(file, info);
  if (found.cause) return stop(found.cause, found.advice);
  $("about").textContent = found.text;
  $("older").hidden = found.isNewer;
  return info;
}

// Draw the board's progress until the answer to an upload is there; give up where nothing is heard of it any more.
async function watch(sending, giveUp, silence = SILENCE) {
  let isOver = false;
  sending.then(() => (isOver = true));
  for (let heard = Date.now(); !isOver; await Promise.race([sending, sleep(POLL)])) {
    const progress = await ask("progress");
    if (isOver) break;
    if (isRunning(progress)) {
      heard = Date.now();
      draw(progress);
    } else if (Date.now() - heard > silence) giveUp.abort();
  }
  return sending;
}

// Look at the board until it is known how an update has ended. `before`: GET /info of when it ran.
async function follow(before, patience = PATIENCE) {
  for (let end = Date.now() + patience; Date.now() < end; await sleep(POLL)) {
    const info = await ask("info");
    if (!info?.ok) continue;
    end = Date.now() + patience;
    if (info.running === before.next) {
      if (arrive(info)) return;
      continue;
    }
    const progress = await ask("progress");
    if (isRunning(progress)) draw(progress);
    else if (progress) return fail(info, before, progress);
  }
  const advice = "Check its power and its Wi-Fi. It may have another address now: its serial port prints it.";
  stop(`The board has not answered for ${patience / 1000} s.`, advice, "Try again");
}

// As in page.py
const told = (last) => (last ? `${last.version}: ${last.outcome}${last.cause ? `, ${last.cause}` : ""}` : "none");

function arrive(info) {
  const said = { ...info, last_update: told(info.last_update) };
  for (const cell of document.querySelectorAll("[data-info]")) setText(cell, String(said[cell.dataset.info]));
  const isConfirmed = info.image_state === "VALID";
  if (isConfirmed) {
    setText($("phase"), "Done");
    $("power").hidden = true;
    say("good", `Version ${info.version} runs, confirmed.`, "", "Open its page"); // its login ended with the restart
    $("said").querySelector("a").focus();
  } else if (!$("said").textContent.includes("on probation")) {
    say("", `Version ${info.version} runs, on probation.`, "It tests itself before it is kept.");
  }
  return isConfirmed;
}

function fail(info, before, progress) {
  const started = (answer) => answer.at - answer.uptime;
  const stays = `Version ${info.version} runs.`;
  if (started(info) > started(before) + 2) {
    const cause = `The board restarted, and runs version ${info.version} again.`;
    const why = "Its power failed, or the new version did not pass its self-test.";
    stop(cause, info.last_update?.cause ? `${told(info.last_update)}.` : why, "Log in");
  } else if (progress.status === 401) stop(`The update ended. ${stays}`, "", "Log in");
  else stop(`The update ended: ${progress.error ?? "no file arrived"}. ${stays}`, "Send the image again.");
}

// What CRC-32 makes of each byte
const CRCS = Int32Array.from({ length: 256 }, (_, crc) => {
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 && 0xedb88320);
  return crc;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = CRCS[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// FIPS 180-4 takes the first 32 bits behind the point of roots of the first primes.
const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every((prime) => n % prime)) PRIMES.push(n);
const words = (root) => Int32Array.from(PRIMES, (prime) => (root(prime) % 1) * 2 ** 32);
const ROUNDS = words(Math.cbrt);
const START = words(Math.sqrt).slice(0, 8);
const rotate = (word, n) => (word >>> n) | (word << (32 - n)); // to the right

// The browser's own, crypto.subtle, is not there on a page that came by plain HTTP.
function sha256(bytes) {
  const padded = new DataView(new ArrayBuffer(((bytes.length + 72) >> 6) << 6)); // 64 bytes a block
  new Uint8Array(padded.buffer).set(bytes);
  padded.setUint8(bytes.length, 0x80);
  padded.setUint32(padded.byteLength - 4, 8 * bytes.length); // an image has less than 2 ** 32 bits
  const hash = START.slice();
  const w = new Int32Array(64);
  for (let start = 0; start < padded.byteLength; start += 64) {
    for (let t = 0; t < 16; t++) w[t] = padded.getInt32(start + 4 * t);
    for (let t = 16; t < 64; t++) {
      const [x, y] = [w[t - 15], w[t - 2]];
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
      const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    compress(hash, w);
  }
  return Uint8Array.from({ length: 32 }, (_, i) => hash[i >> 2] >> (24 - 8 * (i % 4)));
}

function compress(hash, w) {
  let [a, b, c, d, e, f, g, h] = hash;
  for (let t = 0; t < 64; t++) {
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t];
    const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    [a, b, c, d, e, f, g, h] = [(t1 + t2) | 0, a, b, c, (d + t1) | 0, e, f, g];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (hash[i] += word));
}

// CRC-32 of the slot's sectors, and ETag. Null where none come: older firmware.
async function askSectors() {
  try {
    const response = await fetch("sectors", { signal: AbortSignal.timeout(ANSWER) });
    const [count, ...crcs] = new Uint32Array(await response.arrayBuffer()); // little-endian, as browsers are
    return response.ok && crcs.length === count ? { crcs, tag: response.headers.get("ETag") } : null;
  } catch {
    return null;
  }
}

// The request for what the slot lacks of a file. Null: send the whole.
async function changed(file) {
  const slot = await askSectors();
  const data = slot && (await file.arrayBuffer().catch(() => null)); // the file may have gone
  if (!data) return null;
  const padded = new Uint8Array(Math.ceil(file.size / SECTOR) * SECTOR).fill(0xff);
  padded.set(new Uint8Array(data));
  const sector = (n) => padded.subarray(n * SECTOR, (n + 1) * SECTOR);
  const all = [...Array(padded.length / SECTOR).keys()];
  const lacking = all.filter((n) => crc32(sector(n)) !== slot.crcs[n] || sector(n)[0] === 0xe7); // all signatures have one
  if (!lacking.length) lacking.push(0); // a hub's proxy fails with an empty body
  const size = lacking.length * SECTOR;
  if (size + SECTOR >= file.size) return null;
  const kB = Math.round(size / 1000);
  return {
    text: `This update takes ${lacking.length} of ${all.length} sectors, ${kB} kB: the board has the others.`,
    method: "PATCH",
    headers: {
      "Content-Type": `application/vnd.esp32-sectors; size=${file.size}`,
      "If-Match": slot.tag,
      "Repr-Digest": `sha-256=:${btoa(String.fromCharCode(...sha256(new Uint8Array(data))))}:`,
    },
    body: new Blob(lacking.flatMap((n) => [Uint8Array.of(n, n >> 8), sector(n)])),
  };
}

async function upload() {
  const [file] = $("file").files;
  begin({ phase: "check", written: 0, size: file.size });
  const before = await look();
  if (before) await send(file, before);
}

async function send(file, before) {
  const whole = { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file };
  const part = await changed(file);
  const alone = before.https && file.size;
  let answer = await bring(part ?? whole, alone);
  // The slot is not what it was, or a proxy knows no PATCH.
  if (part && [405, 412, 501].includes(answer?.status)) answer = await bring(whole, alone);
  if (answer && !answer.ok) return refused(answer);
  if (answer) {
    draw({ phase: "restart", written: answer.bytes, size: file.size });
    say("", `Version ${answer.version} is in ${answer.slot}.`, "The board restarts into it.");
  } else say("", "The connection broke off.", "Looking for the board.");
  await follow(before);
}

// The board's answer to an upload, null where the connection broke off.
async function bring({ text = "", ...request }, alone) {
  setText($("travels"), text);
  const giveUp = new AbortController();
  isSending = true;
  const path = $("force").checked ? "update?force=1" : "update";
  request.signal = giveUp.signal;
  const answer = await (alone ? bringAlone(path, request, alone) : watch(ask(path, request), giveUp));
  isSending = false;
  return answer;
}

// Over its HTTPS a board has one connection: nobody can ask it meanwhile.
function bringAlone(path, { method, headers, body }, size) {
  const request = new XMLHttpRequest();
  let silence;
  const hear = ({ loaded, total }) => {
    clearTimeout(silence);
    silence = setTimeout(() => request.abort(), SILENCE);
    const isSent = loaded < total;
    draw({ phase: isSent ? "write" : "verify", written: (loaded / total) * size, size, isSent });
  };
  request.open(method, path);
  for (const header of Object.entries(headers)) request.setRequestHeader(...header);
  request.upload.onprogress = hear;
  hear({ loaded: 0, total: 1 });
  return new Promise((done) => {
    request.onloadend = () => {
      clearTimeout(silence);
      const { status, response } = request; // 0: it broke off
      const headers = { "Content-Type": request.getResponseHeader("Content-Type") };
      done(status && read(new Response(response, { status, headers })));
    };
    request.send(body);
  });
}

function refused({ status, message, advice }) {
  if (status === 401) stop("Your login has ended.", "", "Log in");
  else stop(message, advice);
}

// One file, and no folder, which would come as an empty or unreadable file.
function drop(event) {
  const { files, items } = event.dataTransfer;
  if ($("form").hidden) return;
  if (files.length !== 1 || items[0].webkitGetAsEntry()?.isDirectory) {
    return stop("This is not one file.", "Drop a single .bin file.");
  }
  $("file").files = files;
  look();
}

function listen() {
  $("hint").hidden = false;
  $("file").addEventListener("change", look);
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    upload();
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault(); // a file dropped beside the form would replace the page
      document.body.classList.toggle("over", type === "dragover");
      if (type === "drop") drop(event);
    });
  }
  addEventListener("beforeunload", (event) => {
    if (isSending) event.preventDefault();
  });
}

// An update that another tab has sent is shown here too.
async function start() {
  listen();
  const progress = await ask("progress");
  if (!isRunning(progress)) return;
  const before = await ask("info");
  if (!before?.ok) return;
  begin(progress);
  await follow(before);
}

start();
