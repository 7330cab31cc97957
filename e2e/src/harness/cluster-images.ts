/** Images for the services of compose.yaml: pulled where a registry answers, else built from this machine. */

import { join } from 'node:path';
import { findNatsBinary } from '@tracelake/local-servers';
import { ensureMoto } from '@tracelake/test-kit';
import type { ComposeFile } from '../../../deploy/compose/compose-file.ts';
import { buildServiceImages } from '../../../deploy/docker/build-images.ts';
import { findServerImages, type ServerImage } from '../../../deploy/docker/server-images.ts';

/** The version that compose.yaml is read with, and the tag of what is built. */
export const IMAGE_TAG = 'e2e';

const log = (line: string) => console.error(`# ${line}`);

/** The image of each service of the file, or why there is none. */
export async function findImages({
  services,
}: ComposeFile): Promise<ReadonlyMap<string, ServerImage>> {
  const built = await buildServiceImages({ tag: IMAGE_TAG, log });
  const own = new Set(Object.values(built.services));
  const others = Object.values(services).filter(({ image }) => !own.has(image));
  const found = await findServerImages(
    others.map(({ image }) => image),
    {
      tag: IMAGE_TAG,
      local: !built.pulled,
      base: built.base,
      findNatsServer,
      findMotoPython: ensureMoto,
      log,
    },
  );
  return new Map(
    Object.entries(services).map(([name, { image }]) => [name, found.get(image) ?? { image }]),
  );
}

async function findNatsServer(): Promise<string> {
  const binary = await findNatsBinary({
    searchPath: process.env.PATH ?? '',
    cacheDir: join(import.meta.dirname, '../../../node_modules/.cache/tracelake'),
    signal: undefined,
    log,
    mayInstall: true,
  });
  return binary.path;
}
