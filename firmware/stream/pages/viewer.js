// The viewer page: plays the stream, reconnects, and shows verdict, rate and delay.

import { WhepSession } from "./whep.js";

const MEANING = {
  verified: ["Verified", "Detectors looked at the newest picture itself. The people they found are hidden."],
  predicted: ["Predicted", "Detectors looked just before and just after this picture. The people they found are hidden, there and in between."],
  blind: ["Hidden", "The camera is not sure right now, so it hides the whole picture."],
  unknown: ["Waiting", "Waiting for the camera to say how well people are hidden."],
};
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15000;
const STALL_MS = 8000;

const $ = (id) => document.getElementById(id);
const video = $("video");
const rendition = $("live").dataset.rendition;
const show = (id, value) => { const node = $(id); if (node.textContent !== value) node.textContent = value; };

let session = null;
let wanted = true;
let retryMs = FIRST_RETRY_MS;
let retryTimer = 0;
let cameraMs = null;
let lastFrameAt = 0;
let frameTimes = [];
let previous = null;
let mixes = [];

function setConnection(state, text) {
  $("connection").dataset.state = state;
  show("connection-text", text);
}

function setCurtain(text) {
  $("curtain").hidden = !text;
  if (text) show("curtain", text);
}

function setVerdict(verdict, reason) {
  if (rendition === "raw") {
    show("badge-text", "Unhidden");
    show("meaning", "This picture is as the camera sees it. Your grant, and that you look, are recorded.");
    return;
  }
  const [label, sentence] = MEANING[verdict] ?? MEANING.unknown;
  $("badge").dataset.verdict = verdict in MEANING ? verdict : "unknown";
  show("badge-text", label);
  show("meaning", reason ? `${sentence} ${reason}` : sentence);
  announce(verdict);
}

// Verified and predicted may alternate every second: only what matters to a listener is spoken.
function announce(verdict) {
  if (verdict === "blind") show("announcement", "The whole picture is hidden.");
  else if (verdict in MEANING && verdict !== "unknown") show("announcement", "People are hidden.");
}

function onTrack(track, receiver) {
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  video.srcObject = new MediaStream([track]);
}

function onState(state) {
  if (state === "connected") {
    lastFrameAt = performance.now();
    setConnection("live", "Live");
    if (!frameTimes.length) setCurtain("Waiting for the first picture…");
  } else if (state === "failed" || state === "disconnected" || state === "closed") {
    retry("The connection was lost.");
  }
}

function drop() {
  clearTimeout(retryTimer);
  const old = session;
  session = null;
  previous = null;
  frameTimes = [];
  video.srcObject = null;
  for (const id of ["fps", "delay", "network-ms", "browser-ms", "bitrate"]) show(id, "–");
  return old?.close();
}

async function connect() {
  drop();
  if (!wanted) return;
  setConnection("connecting", "Connecting");
  setCurtain("Connecting to the camera…");
  const mine = (session = new WhepSession(`/whep/${rendition}`, { onTrack, onState }));
  try {
    await mine.open();
  } catch (error) {
    if (mine === session && rendition === "raw" && error.plays !== false) location.assign("/grants");
    else if (mine === session) retry(sentence(error.message), error.retryAfterMs);
  }
}

function sentence(text) {
  const known = text && text !== "Failed to fetch" ? text : "the camera cannot be reached";
  return known.charAt(0).toUpperCase() + known.slice(1).replace(/\.?$/, ".");
}

function retry(why, atLeastMs = 0) {
  drop();
  if (!wanted) return;
  const wait = Math.max(atLeastMs, retryMs * (0.8 + 0.4 * Math.random()));
  retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  setConnection("lost", `Reconnecting in ${Math.ceil(wait / 1000)} s`);
  setCurtain(`${why} Trying again in ${Math.ceil(wait / 1000)} s.`);
  retryTimer = setTimeout(connect, wait);
}

function stop() {
  wanted = false;
  drop();
  setConnection("stopped", "Stopped");
  setCurtain("You stopped watching.");
}

function countFrame(now) {
  lastFrameAt = now;
  frameTimes.push(now);
  if (frameTimes.length === 1) {
    retryMs = FIRST_RETRY_MS;
    setCurtain("");
  }
  show("size", `${video.videoWidth} × ${video.videoHeight}`);
  video.requestVideoFrameCallback(countFrame);
}

// Where the browser cannot call back for each frame, its own counter of decoded frames serves.
function shownFps(now, inbound) {
  if (!("requestVideoFrameCallback" in video)) return inbound?.framesPerSecond ?? 0;
  frameTimes = frameTimes.filter((time) => now - time < 2000);
  if (frameTimes.length < 2) return 0;
  return ((frameTimes.length - 1) * 1000) / (frameTimes.at(-1) - frameTimes[0]);
}

function browserMs(inbound) {
  const frames = inbound.framesDecoded - previous.framesDecoded;
  if (frames <= 0) return null;
  const spent = (name) => (inbound[name] ?? 0) - (previous[name] ?? 0);
  const seconds = "totalProcessingDelay" in inbound
    ? spent("totalProcessingDelay")
    : spent("jitterBufferDelay") + spent("totalDecodeTime");
  return (seconds * 1000) / frames;
}

async function measure() {
  if (!session || session.peer.connectionState !== "connected") return;
  const reports = [...(await session.peer.getStats()).values()];
  const inbound = reports.find((report) => report.type === "inbound-rtp" && report.kind === "video");
  const pair = reports.find((report) => report.type === "candidate-pair" && report.nominated && report.state === "succeeded");
  if (!inbound) return;
  const now = performance.now();
  show("fps", shownFps(now, inbound).toFixed(1));
  if (previous) showDelay(inbound, pair);
  previous = inbound;
  if (now - lastFrameAt > STALL_MS && !document.hidden) retry("No picture has come for a while.");
}

function showDelay(inbound, pair) {
  const seconds = (inbound.timestamp - previous.timestamp) / 1000;
  const bits = (inbound.bytesReceived - previous.bytesReceived) * 8;
  if (seconds > 0) show("bitrate", (bits / seconds / 1e6).toFixed(1));
  const network = pair?.currentRoundTripTime === undefined ? null : (pair.currentRoundTripTime * 1000) / 2;
  const browser = browserMs(inbound);
  show("network-ms", network === null ? "?" : network.toFixed(0));
  show("browser-ms", browser === null ? "?" : browser.toFixed(0));
  const known = cameraMs !== null && browser !== null;
  show("delay", known ? (cameraMs + (network ?? 0) + browser).toFixed(0) : "–");
}

// The label is a sample of this moment: the shares say what it missed.
function showMix(released) {
  mixes = [...mixes, released].slice(-11);
  const first = mixes[0];
  const frames = ["verified", "predicted", "blind"].map((verdict) => (released[verdict] ?? 0) - (first[verdict] ?? 0));
  const total = frames[0] + frames[1] + frames[2];
  if (frames.some((count) => count < 0)) mixes = [released]; // The camera has started again.
  if (total <= 0) return show("mix", "");
  const [verified, predicted, blind] = frames.map((count) => `${Math.round((count * 100) / total)} %`);
  show("mix", `Last ${mixes.length - 1} s: ${verified} of pictures verified, ${predicted} predicted, ${blind} hidden whole`);
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} days`;
}

function showStatus(status) {
  setVerdict(status.status === "failed" ? "blind" : status.verdict, status.reason);
  showMix(status.released);
  cameraMs = status.latency_ms.p50;
  show("camera-ms", cameraMs === null ? "?" : cameraMs.toFixed(0));
  show("camera-p95", status.latency_ms.p95 === null ? "?" : status.latency_ms.p95.toFixed(0));
  show("camera-fps", status.released_fps.toFixed(1));
  show("viewers", String(status.viewers));
  $("raw-banner").hidden = status.raw_viewers === 0;
  show("uptime", duration(status.uptime_s));
  show("device", status.device || "?");
  show("smallest-face", status.smallest.face === null ? "?" : String(status.smallest.face));
  show("smallest-body", status.smallest.body === null ? "?" : String(status.smallest.body));
  show("detectors", `${status.chain}: ${status.detectors.join(", ") || "none"}`);
}

async function poll() {
  try {
    const response = await fetch("/api/v1/status", { signal: AbortSignal.timeout(3000), cache: "no-store" });
    if (!response.ok) throw new Error(String(response.status));
    showStatus(await response.json());
  } catch {
    cameraMs = null;
    setVerdict("unknown", "");
  }
}

// What is left of a grant is counted down here and ended by the camera.
function countDown() {
  const left = $("left");
  if (!left) return;
  const seconds = Math.max(0, Number(left.textContent) - 1);
  show("left", String(seconds));
  if (seconds === 0) location.assign("/grants");
}

async function tick() {
  countDown();
  await Promise.allSettled([poll(), measure()]);
  setTimeout(tick, 1000);
}

function drawButtons() {
  $("watch").textContent = wanted ? "Stop watching" : "Watch";
  $("watch").toggleAttribute("data-primary", !wanted);
}

$("watch").addEventListener("click", () => {
  if (wanted) {
    stop();
  } else {
    wanted = true;
    retryMs = FIRST_RETRY_MS;
    connect();
  }
  drawButtons();
});

$("full").hidden = !document.fullscreenEnabled;
$("full").addEventListener("click", () => {
  const stage = document.querySelector(".stage");
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen();
});

window.addEventListener("pagehide", () => { drop(); });
window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
document.addEventListener("visibilitychange", () => { lastFrameAt = performance.now(); });
window.addEventListener("online", () => { if (wanted && !session) connect(); });

if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(countFrame);
else video.addEventListener("playing", () => { countFrameless(); });

function countFrameless() {
  setCurtain("");
  retryMs = FIRST_RETRY_MS;
  show("size", `${video.videoWidth} × ${video.videoHeight}`);
}

drawButtons();
connect();
tick();
