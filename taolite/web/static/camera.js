// The two cameras: the browser's own, and the server's. Both open, show themselves in an element, and give a picture.

import { Refused, getPicture, post } from "./api.js";

const AGAIN_MS = 1500; // until the server is asked again for a frame
const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 } };

/** The camera of this browser. */
export class BrowserCamera {
  constructor(video, { lost }) {
    this.element = video;
    this.lost = lost;
    this.stream = null;
  }

  get size() {
    return { width: this.element.videoWidth, height: this.element.videoHeight };
  }

  /** Start showing; `device` is the id of one of `devices()`. Throws Refused. */
  async open(device) {
    this.close();
    if (!navigator.mediaDevices) {
      throw new Refused(
        "Browsers give their camera only to pages of this machine (127.0.0.1) or with https. Open the page on the " +
        "machine that taolite runs on, start taolite with --ssl-cert and --ssl-key, or use a camera of that machine: " +
        "--input /dev/video0.",
      );
    }
    const video = device ? { ...WANTED, deviceId: { exact: device } } : { ...WANTED, facingMode: "environment" };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      throw new Refused(whyNot(error));
    }
    const [track] = this.stream.getVideoTracks();
    track.addEventListener("ended", () => {
      if (this.stream && this.stream.getVideoTracks()[0] === track) {
        this.lost("The camera stopped. See that it is plugged in, then try again.");
      }
    });
    this.element.srcObject = this.stream;
    await this.element.play();
  }

  close() {
    const stream = this.stream;
    this.stream = null;
    if (stream) for (const track of stream.getTracks()) track.stop();
    this.element.srcObject = null;
  }

  pause() {}

  resume() {}

  /** The picture that is shown now, as a JPEG. Throws Refused. */
  async grab(quality) {
    const { width, height } = this.size;
    if (!this.stream || !width) throw new Refused("The camera shows no picture yet.");
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").drawImage(this.element, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", quality / 100));
    if (!blob) throw new Refused("The browser could not encode the picture; try again.");
    return blob;
  }

  /** [{id, name}] of the cameras here. */
  async devices() {
    const all = await navigator.mediaDevices.enumerateDevices();
    return all
      .filter((one) => one.kind === "videoinput")
      .map((one, index) => ({ id: one.deviceId, name: one.label || `Camera ${index + 1}` }));
  }

  get device() {
    return this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
  }
}

function whyNot(error) {
  if (error.name === "NotAllowedError") {
    return "The browser does not allow this page to use the camera. Allow it with the camera icon beside the address, then try again.";
  }
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") {
    return "No camera was found. Plug one in, then try again.";
  }
  if (error.name === "NotReadableError") {
    return "The camera is used by another program, or does not work. Close the other program, then try again.";
  }
  return `The camera cannot be opened (${error.name}: ${error.message}).`;
}

/** The camera of the server: frames are asked for one after the other and drawn on a canvas. */
export class ServerCamera {
  /** lost(text) is called again and again while no frame comes, back() when one does. */
  constructor(canvas, { lost, back, sized }) {
    this.element = canvas;
    this.lost = lost;
    this.back = back;
    this.sized = sized;
    this.turn = 0;
    this.size = { width: 0, height: 0 };
  }

  /** Start showing. Throws Refused where no first frame comes. */
  async open() {
    this.close();
    const turn = this.turn;
    await post("/api/camera");
    const after = await this.frame(0);
    this.run(turn, after);
  }

  /** Go on after `pause`. */
  resume() {
    this.close();
    this.run(this.turn, 0);
  }

  close() {
    this.turn += 1;
  }

  pause() {
    this.close();
  }

  /** The server takes the picture itself. */
  async grab() {
    return undefined;
  }

  async run(turn, after) {
    let works = true;
    while (turn === this.turn) {
      try {
        after = await this.frame(after, turn);
        if (!works && turn === this.turn) this.back();
        works = true;
        await new Promise(requestAnimationFrame);
      } catch (error) {
        works = false;
        if (turn === this.turn) this.lost(error.message);
        await new Promise((done) => setTimeout(done, AGAIN_MS));
      }
    }
  }

  async frame(after, turn = this.turn) {
    const { blob, headers } = await getPicture("/api/camera", { after });
    const bitmap = await createImageBitmap(blob);
    if (turn === this.turn) {
      const { width, height } = bitmap;
      if (width !== this.size.width || height !== this.size.height) {
        this.size = { width, height };
        this.element.width = width;
        this.element.height = height;
        this.sized();
      }
      this.element.getContext("2d").drawImage(bitmap, 0, 0);
    }
    bitmap.close();
    return Number(headers.get("X-Frame"));
  }
}
