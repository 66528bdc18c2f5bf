// Photographs made smaller before they are sent. The server looks at far fewer pixels than a camera takes.

export const LONG_SIDE = 1024;
const ENOUGH_BYTES = 400_000; // A file below this, and of few pixels, is sent as it is.
const AS_IT_IS = new Set(["image/jpeg", "image/png", "image/webp"]);

/** Returns the image with its longer side of at most 1,024 pixels, upright, or the file itself where that gains nothing or the
 * browser cannot read it. Then the server says what it is. */
export async function shrunk(file: Blob): Promise<Blob> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return file;
  }
  try {
    const scale = Math.min(1, LONG_SIDE / Math.max(bitmap.width, bitmap.height));
    if (scale === 1 && file.size <= ENOUGH_BYTES && AS_IT_IS.has(file.type)) return file;
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
