/** Type metadata as today's Rust client declares it on 64-bit machines, in the order of its queues. */
import type { UserDefinedType, UserDefinedTypeMember } from '@tracelake/domain';

type MemberSpec = readonly [name: string, typeName: string, offset: number, size: number];

function member([name, typeName, offset, size]: MemberSpec): UserDefinedTypeMember {
  const isReference = typeName.startsWith('&') || typeName.startsWith('*') || typeName === 'usize';
  return { name, typeName, offset, size, isReference };
}

function type(name: string, size: number, ...members: MemberSpec[]): UserDefinedType {
  return { name, size, isReference: false, members: members.map(member) };
}

function dynamic(name: string): UserDefinedType {
  return { name, size: 0, isReference: false, members: [] };
}

function reference(name: string): UserDefinedType {
  return { ...type(name, 16, ['id', 'usize', 0, 8]), isReference: true };
}

const TEXT = '* const u8';

const spanDescription = "& 'static SpanMetadata";
const spanLocation = "& 'static SpanLocation";

function threadSpan(name: string): UserDefinedType {
  return type(name, 16, ['thread_span_desc', spanDescription, 0, 8], ['time', 'i64', 8, 8]);
}

function threadNamedSpan(name: string): UserDefinedType {
  return type(
    name,
    32,
    ['thread_span_location', spanLocation, 0, 8],
    ['name', 'StringId', 8, 16],
    ['time', 'i64', 24, 8],
  );
}

function asyncSpan(name: string): UserDefinedType {
  return type(
    name,
    40,
    ['span_desc', spanDescription, 0, 8],
    ['span_id', 'u64', 8, 8],
    ['parent_span_id', 'u64', 16, 8],
    ['depth', 'u32', 32, 4],
    ['time', 'i64', 24, 8],
  );
}

function asyncNamedSpan(name: string): UserDefinedType {
  return type(
    name,
    56,
    ['span_location', spanLocation, 0, 8],
    ['name', 'StringId', 8, 16],
    ['span_id', 'u64', 24, 8],
    ['parent_span_id', 'u64', 32, 8],
    ['depth', 'u32', 48, 4],
    ['time', 'i64', 40, 8],
  );
}

export const threadObjects: readonly UserDefinedType[] = [
  threadSpan('BeginThreadSpanEvent'),
  threadSpan('EndThreadSpanEvent'),
  threadNamedSpan('BeginThreadNamedSpanEvent'),
  threadNamedSpan('EndThreadNamedSpanEvent'),
  asyncSpan('BeginAsyncSpanEvent'),
  asyncSpan('EndAsyncSpanEvent'),
  asyncNamedSpan('BeginAsyncNamedSpanEvent'),
  asyncNamedSpan('EndAsyncNamedSpanEvent'),
  reference('StringId'),
  // A type that no decoder knows, as a newer client may send.
  dynamic('EventOfTheFuture'),
];
export const FUTURE_EVENT_TYPE_INDEX = 9;

export const threadDependencies: readonly UserDefinedType[] = [
  type(
    'SpanRecord',
    48,
    ['id', 'u64', 0, 8],
    ['name', TEXT, 8, 8],
    ['target', TEXT, 16, 8],
    ['module_path', TEXT, 24, 8],
    ['file', TEXT, 32, 8],
    ['line', 'u32', 40, 4],
    ['lod', 'u32', 44, 4],
  ),
  type(
    'SpanLocationRecord',
    40,
    ['id', 'u64', 0, 8],
    ['target', TEXT, 8, 8],
    ['module_path', TEXT, 16, 8],
    ['file', TEXT, 24, 8],
    ['line', 'u32', 32, 4],
    ['lod', 'u32', 36, 4],
  ),
  dynamic('StaticString'),
];

const property = type('Property', 32, ['name', TEXT, 0, 8], ['value', TEXT, 16, 8]);

export const logObjects: readonly UserDefinedType[] = [
  type('LogStaticStrEvent', 16, ['desc', "& 'static LogMetadata", 0, 8], ['time', 'i64', 8, 8]),
  dynamic('LogStringEventV2'),
  type(
    'LogStaticStrInteropEvent',
    48,
    ['time', 'i64', 32, 8],
    ['level', 'u32', 40, 4],
    ['target', 'StringId', 0, 16],
    ['msg', 'StringId', 16, 16],
  ),
  dynamic('LogStringInteropEventV3'),
  dynamic('TaggedLogString'),
  reference('StringId'),
  reference('StaticStringRef'),
];

export const logDependencies: readonly UserDefinedType[] = [
  dynamic('StaticString'),
  dynamic('StaticStringDependency'),
  type(
    'LogMetadataRecord',
    48,
    ['id', 'u64', 0, 8],
    ['fmt_str', TEXT, 8, 8],
    ['target', TEXT, 16, 8],
    ['module_path', TEXT, 24, 8],
    ['file', TEXT, 32, 8],
    ['line', 'u32', 40, 4],
    ['level', 'u32', 44, 4],
  ),
  dynamic('PropertySetDependency'),
  property,
  reference('StaticStringRef'),
];

function metric(name: string, valueType: string): UserDefinedType {
  return type(
    name,
    24,
    ['desc', "& 'static StaticMetricMetadata", 0, 8],
    ['value', valueType, 8, 8],
    ['time', 'i64', 16, 8],
  );
}

function taggedMetric(name: string, valueType: string): UserDefinedType {
  return type(
    name,
    32,
    ['desc', "& 'static StaticMetricMetadata", 0, 8],
    ['properties', "& 'static PropertySet", 8, 8],
    ['value', valueType, 16, 8],
    ['time', 'i64', 24, 8],
  );
}

export const metricObjects: readonly UserDefinedType[] = [
  metric('IntegerMetricEvent', 'u64'),
  metric('FloatMetricEvent', 'f64'),
  taggedMetric('TaggedFloatMetricEvent', 'f64'),
  taggedMetric('TaggedIntegerMetricEvent', 'u64'),
];

export const metricDependencies: readonly UserDefinedType[] = [
  dynamic('StaticString'),
  dynamic('StaticStringDependency'),
  type(
    'MetricMetadataDependency',
    48,
    ['id', 'u64', 0, 8],
    ['name', TEXT, 8, 8],
    ['unit', TEXT, 16, 8],
    ['target', TEXT, 24, 8],
    ['file', TEXT, 32, 8],
    ['line', 'u32', 40, 4],
    ['lod', 'u32', 44, 4],
  ),
  dynamic('PropertySetDependency'),
  property,
  reference('StaticStringRef'),
];
