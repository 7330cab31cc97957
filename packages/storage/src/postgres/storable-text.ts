/**
 * Text as Postgres can hold it. Neither `text` nor `jsonb` takes U+0000, and `jsonb` takes no lone surrogate;
 * both become U+FFFD, so that telemetry from anywhere can be stored.
 */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

/** Properties as JSON text. Keys that become equal: the last one wins. */
export function storableProperties(properties: Readonly<Record<string, string>>): string {
  const entries = Object.entries(properties).map(([key, value]) => [
    storableText(key),
    storableText(value),
  ]);
  return JSON.stringify(Object.fromEntries(entries));
}
