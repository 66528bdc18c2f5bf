export function Improve() {
  return null;
}
