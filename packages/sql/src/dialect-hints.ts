/** What to write instead of the reference's functions that the engine does not have, by lower-case name. */
const INSTEAD: Readonly<Record<string, string>> = {
  date_bin: 'time_bucket(INTERVAL 1 minute, t)',
  arrow_cast: 'a cast: x::BIGINT',
  arrow_typeof: 'typeof(x)',
  to_timestamp_nanos: 'make_timestamp_ns(n)',
  to_timestamp_micros: 'make_timestamp(n)',
  to_timestamp_millis: 'make_timestamp_ms(n)',
  to_unixtime: 'epoch(t)',
  approx_percentile_cont: 'quantile_cont(x, 0.95) or approx_quantile(x, 0.95)',
  approx_median: 'approx_quantile(x, 0.5)',
  approx_distinct: 'approx_count_distinct(x)',
  jsonb_path_query: "json_extract(j, '$.a[*]')",
  jsonb_path_query_first: "json_extract(j, '$.a')",
  regexp_match: "regexp_extract(x, 'pattern', 1)",
  regexp_like: "regexp_matches(x, 'pattern')",
  btrim: 'trim(x)',
  var: 'var_samp(x)',
  nvl: 'coalesce(x, y)',
  named_struct: "{'name': x}",
  make_array: '[x, y]',
  perfetto_trace_chunks: 'the trace export',
};

/** The end of a message about a function that is not there: what to write instead, if that is known. */
export function insteadOf(functionName: string): string {
  const instead = INSTEAD[functionName];
  return instead === undefined ? '' : `; write ${instead}`;
}

/** The end of a message about a syntax error, if its cause is one that users of the reference meet. */
export function syntaxHint(message: string): string {
  return /at or near "end"/i.test(message) ? '; END is a keyword: the column is "end", quoted' : '';
}
