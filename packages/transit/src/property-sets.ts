/** Property sets of a block as canonical JSON text, each made once however many events carry it. */
import type { TextDictionary } from '@tracelake/domain';
import type { Dependencies } from './dependencies.ts';
import { TextBudget } from './text-budget.ts';

/** What events need of a set: its text, and the values that override fields of the event. */
export interface PropertySet {
  /** Code of the canonical JSON text. */
  readonly jsonCode: number;
  readonly target: string | undefined;
  readonly level: string | undefined;
  readonly name: string | undefined;
  readonly unit: string | undefined;
}

/** Escaping can turn one character into six. */
const JSON_GROWTH_MAX = 6;
const JSON_PUNCTUATION = 6;
/** Below the longest string there can be. */
const JSON_CHARACTERS_MAX = 1 << 28;

export class PropertySets {
  readonly #dependencies: Dependencies;
  readonly #texts: TextDictionary;
  readonly #budget: TextBudget;
  readonly #sets: (PropertySet | undefined)[] = [];

  constructor(dependencies: Dependencies, texts: TextDictionary, textCharactersMax: number) {
    this.#dependencies = dependencies;
    this.#texts = texts;
    this.#budget = new TextBudget(
      Math.min(textCharactersMax * JSON_GROWTH_MAX, JSON_CHARACTERS_MAX),
    );
  }

  setOf(dependency: number): PropertySet {
    const known = this.#sets[dependency];
    if (known !== undefined) return known;
    const properties = this.#dependencies.propertiesOf(dependency);
    for (const [key, value] of properties)
      this.#budget.spend((key.length + value.length + JSON_PUNCTUATION) * JSON_GROWTH_MAX);
    const set = {
      jsonCode: this.#texts.codeOf(canonicalJson(properties)),
      target: properties.get('target'),
      level: properties.get('level'),
      name: properties.get('name'),
      unit: properties.get('unit'),
    };
    this.#sets[dependency] = set;
    return set;
  }
}

/** The text of an event without properties. */
export const NO_PROPERTIES_JSON = '{}';

/**
 * Keys in order of their UTF-16 code units. Built by hand because an object puts keys that look like integers
 * first and cannot hold `__proto__` as a literal key.
 */
function canonicalJson(properties: ReadonlyMap<string, string>): string {
  const keys = [...properties.keys()].sort();
  const members = keys.map(
    (key) => `${JSON.stringify(key)}:${JSON.stringify(properties.get(key))}`,
  );
  return `{${members.join(',')}}`;
}
