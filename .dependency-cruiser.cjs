/**
 * Who may import whom. A package may import packages of lower layers; within a layer only what is
 * listed. Services import packages and never another service; only tests reach for test-kit.
 */
const layers = [
  ['domain'],
  ['channels', 'transit', 'perfetto', 'bus', 'local-servers'],
  ['lakehouse'],
  ['parquet', 'storage', 'service-kit', 'lake-reading', 'sql'],
  ['cli'],
];

/** Imports inside a layer that are meant. */
const withinLayer = { 'service-kit': ['storage'], 'lake-reading': ['storage'] };

const testFiles = '(\\.test\\.ts|\\.contract\\.ts)$|/(test|bench)/';

const layerRules = layers.flatMap((names, layer) =>
  names.map((name) => {
    const allowed = [...layers.slice(0, layer).flat(), name, ...(withinLayer[name] ?? [])];
    return {
      name: `layer-${layer}-${name}`,
      comment: `${name} may import ${allowed.join(', ')}`,
      severity: 'error',
      from: { path: `^packages/${name}/src/`, pathNot: testFiles },
      to: { path: '^packages/[^/]+/', pathNot: `^packages/(${allowed.join('|')})/` },
    };
  }),
);

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'no-circle',
      comment: 'modules that need each other are one module',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'services-meet-at-the-bus',
      comment: 'services share events and tables, never code of their own',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'packages-know-no-service',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(services|e2e)/' },
    },
    {
      name: 'test-kit-in-tests-only',
      severity: 'error',
      from: { path: '^(packages|services)/', pathNot: [testFiles, '^packages/test-kit/'] },
      to: { path: '^packages/test-kit/' },
    },
    {
      name: 'public-surface-only',
      comment: 'another package is imported by its name, so that its index says what it offers',
      severity: 'error',
      from: { path: '^(packages|services)/([^/]+)/' },
      to: {
        path: '^(packages|services)/[^/]+/',
        pathNot: ['^$1/$2/', '^packages/[^/]+/src/index\\.ts$'],
      },
    },
    {
      name: 'no-dev-dependency-in-sources',
      severity: 'error',
      from: {
        path: '^(packages|services)/[^/]+/src/',
        pathNot: [testFiles, '^packages/test-kit/'],
      },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['(^|/)node_modules/', '(^|/)fixtures/'] },
    tsPreCompilationDeps: true,
    preserveSymlinks: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'types', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.json'],
    },
  },
};
