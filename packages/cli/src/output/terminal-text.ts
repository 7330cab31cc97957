/** Text of unknown origin for a terminal: no control characters, and as wide as it is said to be. */

/** Line breaks, tabs, escape sequences and direction marks, which would move the cursor or the reader. */
const unprintable = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** The text on one line, with what a terminal would obey written out. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return escapes[character] ?? `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

const combining = /^(?:\p{Mn}|\p{Me}|\p{Cf})$/u;
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]$/u;
const plain = /^[\x20-\x7e]*$/;

/** Cells of a terminal that printable text takes. */
export function displayWidth(text: string): number {
  if (plain.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** The text within so many cells; one that is cut ends with an ellipsis. */
export function cutToWidth(text: string, widthMax: number): string {
  if (displayWidth(text) <= widthMax) return text;
  let width = 0;
  let cut = '';
  for (const character of text) {
    width += characterWidth(character);
    if (width > widthMax - 1) break;
    cut += character;
  }
  return `${cut}…`;
}

function characterWidth(character: string): number {
  if (combining.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
