import { type ParsedUrlQuery, parse } from 'node:querystring';

/** Stands for what is not percent-encoded UTF-8. No name and no value of ours may hold it, encoded or not. */
const MALFORMED = '\0';

/** Parses a query string. A malformed name or value becomes a NUL, so that its check refuses it: a parser here cannot. */
export function parseQueryString(text: string): ParsedUrlQuery {
  return parse(text, '&', '=', { decodeURIComponent: decode });
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return MALFORMED;
  }
}
