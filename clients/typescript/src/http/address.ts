// The address of a server and the headers of every request. Both are checked here, so that no error message repeats a
// secret.

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/; // RFC 9110, section 5.6.2
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;
const TOKEN = /^[\x21-\x7e]+$/;

/**
 * Checks an address and returns it without a slash at its end.
 *
 * @throws TypeError if it is no address of a server, or holds a user or a password, which `fetch` does not send
 */
export function checkedAddress(url: string): string {
  const parts = URL.canParse(url) ? new URL(url) : undefined;
  if (parts?.username || parts?.password) {
    throw new TypeError("the server's address must hold no user and no password; send a header Authorization");
  }
  if (!parts || !["http:", "https:"].includes(parts.protocol) || parts.search || parts.hash) {
    throw new TypeError(
      `the server's address must look like http://127.0.0.1:8000, not ${JSON.stringify(hidden(url))}`,
    );
  }
  return parts.href.replace(/\/+$/, "");
}

/** Text that is no address, without what may be a password: it stands before the last `@`. */
const hidden = (url: string) => url.replace(/^(\w+:\/\/)?.*@/s, "$1");

/**
 * Returns the headers that every request carries, among them the token as `Authorization: Bearer …` (RFC 6750).
 *
 * @throws TypeError if a header or the token is malformed, or both authenticate
 */
export function requestHeaders(token: string | undefined, headers: Record<string, string>): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(value)) {
      throw new TypeError(`headers: the name or the value of ${name} has characters that a header cannot have`);
    }
  }
  if (token === undefined) return headers;
  if (Object.keys(headers).some((name) => name.toLowerCase() === "authorization")) {
    throw new TypeError("give only one of: a token, an Authorization header");
  }
  if (!TOKEN.test(token.trim())) throw new TypeError("token: is empty or has characters that a header cannot have");
  return { ...headers, Authorization: `Bearer ${token.trim()}` };
}
