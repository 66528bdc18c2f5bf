// Photographs made smaller before they are sent. The server looks at far fewer pixels than a camera takes.

const LONG_SIDE = 1024; // pixels
const SMALL = 200_000; // bytes of a file that is sent as it is
const KNOWN = new Set(["image/jpeg", "image/png", "image/webp"]);

/**
 * Returns the image with a longer side of at most 1,024 pixels, upright. A small file comes back as it is, and so does one that
 * the browser cannot read: the server says what is wrong with it.
 */
export async function shrunk(file: Blob): Promise<Blob> {
  if (file.size <= SMALL && KNOWN.has(file.type)) return file;
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return file;
  }
  try {
    const scale = Math.min(1, LONG_SIDE / Math.max(bitmap.width, bitmap.height));
    return await drawn(bitmap, bitmap.width * scale, bitmap.height * scale);
  } finally {
    bitmap.close();
  }
}

/** Returns a picture as a JPEG of this size in pixels, on white where it is transparent, as the server would have it. */
export async function drawn(picture: CanvasImageSource, width: number, height: number): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done, failed) =>
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no image"))), "image/jpeg", 0.88),
  );
}
