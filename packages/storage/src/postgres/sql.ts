/** A statement and its parameters; only `sql` makes one, so no value is ever spliced into the text. */
export interface SqlStatement {
  readonly text: string;
  readonly values: readonly unknown[];
  /** The server parses and plans it once a connection under this name. */
  readonly name?: string;
}

const FRAGMENT = Symbol('fragment');

/** A piece of SQL that is part of the program, such as a list of columns. */
export interface SqlFragment {
  readonly [FRAGMENT]: string;
}

/** Marks program text as a piece of SQL. Never call it with anything that came from outside. */
export function fragment(text: string): SqlFragment {
  return { [FRAGMENT]: text };
}

/** Makes a statement: interpolated values become parameters, fragments become text. */
export function sql(parts: TemplateStringsArray, ...items: readonly unknown[]): SqlStatement {
  let text = parts[0] ?? '';
  const values: unknown[] = [];
  items.forEach((item, index) => {
    if (isFragment(item)) text += item[FRAGMENT];
    else {
      values.push(item);
      text += `$${values.length}`;
    }
    text += parts[index + 1] ?? '';
  });
  return { text, values };
}

/** Gives a statement that runs often a name; its text never varies. */
export function prepared(name: string, statement: SqlStatement): SqlStatement {
  return { ...statement, name };
}

function isFragment(item: unknown): item is SqlFragment {
  return typeof item === 'object' && item !== null && FRAGMENT in item;
}
