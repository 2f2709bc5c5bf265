// A small WHEP client: one POST opens a session, PATCH adds candidates, DELETE ends it.

const SDP = "application/sdp";
const FRAGMENT = "application/trickle-ice-sdpfrag";
const REQUEST_MS = 15000;
const PLAYABLE = /^a=rtpmap:\d+ H264\/90000/im;
const CANNOT_PLAY =
  "This browser cannot play H.264. Firefox fetches what it needs by itself, some minutes after its first start (Add-ons, Plugins, OpenH264)";

export class WhepError extends Error {
  constructor(message, retryAfterMs = 0, plays = true) {
    super(message);
    this.retryAfterMs = retryAfterMs;
    this.plays = plays;
  }
}

async function explain(response) {
  const wait = Number(response.headers.get("Retry-After")) * 1000 || 0;
  let detail = `the camera answered ${response.status}`;
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    detail = (await response.json()).detail || detail;
  }
  return new WhepError(detail, wait);
}

export class WhepSession {
  #url;
  #resource = null;
  #etag = null;
  #waiting = [];
  #sending = false;
  #closed = false;

  constructor(url, { onTrack, onState }) {
    this.#url = new URL(url, location.href);
    this.peer = new RTCPeerConnection({ iceServers: [] });
    this.peer.addTransceiver("video", { direction: "recvonly" });
    this.peer.ontrack = (event) => onTrack(event.track, event.receiver);
    this.peer.onconnectionstatechange = () => onState(this.peer.connectionState);
    this.peer.onicecandidate = (event) => this.#trickle(event.candidate);
  }

  async open() {
    const offer = await this.peer.createOffer();
    if (!PLAYABLE.test(offer.sdp)) throw new WhepError(CANNOT_PLAY, 0, false);
    await this.peer.setLocalDescription(offer);
    const response = await fetch(this.#url, {
      method: "POST",
      headers: { "Content-Type": SDP, Accept: SDP },
      body: this.peer.localDescription.sdp,
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    if (response.status !== 201) throw await explain(response);
    this.#resource = new URL(response.headers.get("Location"), this.#url);
    this.#etag = response.headers.get("ETag");
    const answer = await response.text();
    if (this.#closed) return this.#delete();
    await this.peer.setRemoteDescription({ type: "answer", sdp: answer });
    await this.#flush();
  }

  #trickle(candidate) {
    this.#waiting.push(candidate ? `a=${candidate.candidate}` : "a=end-of-candidates");
    if (this.#resource) this.#flush();
  }

  async #flush() {
    if (this.#sending || this.#closed || !this.#waiting.length) return;
    this.#sending = true;
    const lines = this.#waiting.splice(0).filter((line) => line !== "a=");
    try {
      await fetch(this.#resource, {
        method: "PATCH",
        headers: { "Content-Type": FRAGMENT, ...(this.#etag && { "If-Match": this.#etag }) },
        body: this.#fragment(lines),
        signal: AbortSignal.timeout(REQUEST_MS),
      });
    } catch {
      // Not fatal: the camera also learns our address from our own checks.
    } finally {
      this.#sending = false;
    }
    await this.#flush();
  }

  #fragment(lines) {
    const offer = this.peer.localDescription?.sdp ?? "";
    const pick = (pattern) => offer.match(pattern)?.[0] ?? "";
    const head = [pick(/a=ice-ufrag:\S+/), pick(/a=ice-pwd:\S+/), "m=video 9 UDP/TLS/RTP/SAVPF 0", pick(/a=mid:\S+/)];
    return [...head, ...lines].filter(Boolean).join("\r\n") + "\r\n";
  }

  async #delete() {
    const resource = this.#resource;
    this.#resource = null;
    if (!resource) return;
    try {
      // keepalive: the request outlives the page that sends it.
      await fetch(resource, { method: "DELETE", keepalive: true });
    } catch {
      // The camera ends the session by itself when it hears nothing.
    }
  }

  close() {
    this.#closed = true;
    this.peer.onconnectionstatechange = null;
    this.peer.close();
    return this.#delete();
  }
}
