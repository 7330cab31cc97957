/**
 * Memory that a writer thread shares with whoever gives it work. Objects are copied into it, each from the beginning
 * of a page, so that a batch needs no memory of its own and the disk can take it as it lies.
 */

const PAGE_BYTES = 4096;
const WASM_PAGE_BYTES = 65_536;
/** What a batch may hold; larger objects take a way of their own. */
export const OBJECT_FILE_MEMORY_BYTES = 4 * 1024 * 1024;

/** Where an object lies in the memory. */
export interface ObjectFilePlace {
  readonly offset: number;
  readonly byteCount: number;
}

/** Of the standard, which the types of Node leave out. */
interface WebAssemblyNamespace {
  readonly Memory: new (limits: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
}

/** WebAssembly's, because that begins at a page, which no other memory of JavaScript promises. Resident once used. */
export function createObjectFileMemory(): Uint8Array {
  const pages = OBJECT_FILE_MEMORY_BYTES / WASM_PAGE_BYTES;
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyNamespace };
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return new Uint8Array(memory.buffer);
}

/** What an object takes of the memory. */
export function wholePages(byteCount: number): number {
  return Math.ceil(byteCount / PAGE_BYTES) * PAGE_BYTES;
}
