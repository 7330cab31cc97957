/** The images of the chart in one archive, for a node that pulls none. */

import { readComposeFile } from '../../../deploy/compose/compose-file.ts';
import { findImages, IMAGE_TAG } from './cluster-images.ts';
import { docker } from './docker-engine.ts';

export interface NodeImages {
  readonly imagesPath: string;
  readonly pauseImage: string;
  /** Tag of the images of Tracelake. */
  readonly tag: string;
  /** Tag of the same images as if they were of the release after. */
  readonly nextTag: string;
  readonly postgres: string;
  readonly nats: string;
}

const COMPONENTS = ['ingest', 'partition-materializer', 'trace-export', 'query', 'cli'];

/** Builds or pulls them, as for the compose twin, and writes them to the file. */
export async function saveNodeImages(imagesPath: string): Promise<NodeImages> {
  const { postgres, nats } = await findServers();
  const nextTag = `${IMAGE_TAG}-next`;
  const own = COMPONENTS.map((component) => `tracelake-${component}`);
  for (const name of own) await docker('tag', `${name}:${IMAGE_TAG}`, `${name}:${nextTag}`);
  const pauseImage = 'docker.io/library/tracelake-pause:e2e';
  await makePauseImage(`tracelake-cli:${IMAGE_TAG}`, pauseImage);
  const names = own.flatMap((name) => [`${name}:${IMAGE_TAG}`, `${name}:${nextTag}`]);
  await docker(
    'save',
    '--output',
    imagesPath,
    ...names,
    postgres,
    nats,
    pauseImage.replace('docker.io/library/', ''),
  );
  return { imagesPath, pauseImage, tag: IMAGE_TAG, nextTag, postgres, nats };
}

async function findServers(): Promise<{ readonly postgres: string; readonly nats: string }> {
  const compose = readComposeFile({ TRACELAKE_VERSION: IMAGE_TAG });
  const { postgres, 'nats-1': nats } = compose.services;
  if (postgres === undefined || nats === undefined) throw new Error('compose.yaml has no servers');
  const found = await findImages({ ...compose, services: { postgres, nats } });
  const imageOf = (name: string) => {
    const outcome = found.get(name);
    if (outcome === undefined || 'missing' in outcome) {
      throw new Error(`no image ${name}: ${outcome?.missing}`);
    }
    return outcome.image;
  };
  return { postgres: imageOf('postgres'), nats: imageOf('nats') };
}

/** The process that holds a pod's network does nothing but stay. */
async function makePauseImage(from: string, image: string): Promise<void> {
  const container = await docker('create', from);
  try {
    const changes = ['ENTRYPOINT ["sleep", "infinity"]', 'CMD []'];
    await docker(
      'commit',
      ...changes.flatMap((line) => ['--change', line]),
      container,
      image.replace('docker.io/library/', ''),
    );
  } finally {
    await docker('rm', container);
  }
}
